package stand

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

// Stand is where the groups are started, one after the other.
type Stand struct {
	// Dir is the folder below which all of them keep their data.
	Dir string
	// Bin holds the binaries.
	Bin string

	ports Ports
}

// Build builds rota as it is shipped, and etcd from this module's go.mod, into
// s.Bin. It runs in the folder of this module, as `make bench` does.
func (s *Stand) Build(ctx context.Context) error {
	if err := goBuild(ctx, filepath.Join("..", ".."), s.rota(), "./cmd/rota"); err != nil {
		return err
	}
	return goBuild(ctx, ".", s.etcd(), "go.etcd.io/etcd/server/v3")
}

func goBuild(ctx context.Context, dir, to, what string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", to, what)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", what, err, out)
	}
	return nil
}

func (s *Stand) rota() string { return filepath.Join(s.Bin, "rota") }
func (s *Stand) etcd() string { return filepath.Join(s.Bin, "etcd") }
