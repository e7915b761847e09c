// Command generate writes rpc/gen from the protos in rpc/proto.
//
// It compiles the protos with protocompile and hands the descriptors to the two
// protoc plugins, both of which are Go modules pinned by this directory's
// go.mod: neither protoc nor buf is needed, and the product's own go.mod stays
// free of compilers. The output is committed, so that building rota needs
// nothing but go build; run this only after a proto has changed:
//
//	cd rpc/proto/generate && go run .
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/linker"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// Paths are relative to this directory.
const (
	protoDir = ".."
	genDir   = "../../gen"
	module   = "github.com/rota-registry/rota/rpc/gen"
)

// plugins are run as `go tool NAME`; each writes below genDir.
var plugins = []string{"protoc-gen-go", "protoc-gen-connect-go"}

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	names, err := protoNames()
	if err != nil {
		return err
	}
	files, err := compile(ctx, names)
	if err != nil {
		return err
	}
	request := &pluginpb.CodeGeneratorRequest{
		FileToGenerate: names,
		Parameter:      proto.String("module=" + module),
		ProtoFile:      descriptors(files),
	}
	if err := os.RemoveAll(filepath.Join(genDir, "rota")); err != nil {
		return err
	}
	for _, plugin := range plugins {
		if err := generate(ctx, plugin, request); err != nil {
			return fmt.Errorf("%s: %w", plugin, err)
		}
	}
	return nil
}

// protoNames lists the protos as they import each other: rota/v1/x.proto.
func protoNames() ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(protoDir, "rota", "*", "*.proto"))
	if err != nil || len(paths) == 0 {
		return nil, errors.Join(err, fmt.Errorf("%d protos found below %s: run this in rpc/proto/generate", len(paths), protoDir))
	}
	names := make([]string, len(paths))
	for i, path := range paths {
		rel, err := filepath.Rel(protoDir, path)
		if err != nil {
			return nil, err
		}
		names[i] = filepath.ToSlash(rel)
	}
	return names, nil
}

func compile(ctx context.Context, names []string) (linker.Files, error) {
	compiler := protocompile.Compiler{
		Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{protoDir}}),
		// The comments of the protos become those of the generated code.
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	return compiler.Compile(ctx, names...)
}

// descriptors gives the files and all that they import, what is imported
// first, which is the order that plugins expect.
func descriptors(files linker.Files) []*descriptorpb.FileDescriptorProto {
	var sorted []*descriptorpb.FileDescriptorProto
	seen := make(map[string]bool)
	var visit func(file protoreflect.FileDescriptor)
	visit = func(file protoreflect.FileDescriptor) {
		if seen[file.Path()] {
			return
		}
		seen[file.Path()] = true
		for i := range file.Imports().Len() {
			visit(file.Imports().Get(i).FileDescriptor)
		}
		sorted = append(sorted, protoutil.ProtoFromFileDescriptor(file))
	}
	for _, file := range files {
		visit(file)
	}
	return slices.Clip(sorted)
}

// generate runs one plugin and writes what it answers.
func generate(ctx context.Context, plugin string, request *pluginpb.CodeGeneratorRequest) error {
	stdin, err := proto.Marshal(request)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "tool", plugin)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(stdin), os.Stderr
	stdout, err := cmd.Output()
	if err != nil {
		return err
	}
	var response pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(stdout, &response); err != nil {
		return err
	}
	if response.Error != nil {
		return errors.New(response.GetError())
	}
	for _, file := range response.GetFile() {
		if err := write(file.GetName(), file.GetContent()); err != nil {
			return err
		}
	}
	return nil
}

func write(name, content string) error {
	if !filepath.IsLocal(name) || !strings.HasSuffix(name, ".go") {
		return fmt.Errorf("it wants to write %q: check go_package in the proto", name)
	}
	path := filepath.Join(genDir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(content), 0o644)
}
