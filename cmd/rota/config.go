package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Every flag that all commands share, and every flag of a command that is
// marked by configured, can be set in three places; the later goes before the
// earlier:
//
//	configuration file   gossip-profile: local
//	environment          ROTA_GOSSIP_PROFILE=local
//	flag                 --gossip-profile local
//
// The operator's commands do not take their own flags from the environment: an
// agent's ROTA_TYPE=worker must not become the key type of a `rota hrw`.

const envPrefix = "ROTA_"

// configFileMax bounds the configuration file, in bytes.
const configFileMax = 1 << 20

const configuredMark = "rota-configured"

// configured marks a command whose own flags may come from the configuration
// file and the environment.
func configured(cmd *cobra.Command) *cobra.Command {
	cmd.Annotations = map[string]string{configuredMark: "yes"}
	return cmd
}

// configure fills in the flags that were not given on the command line, and
// gives everything that is wrong with what it found.
func (a *app) configure(cmd *cobra.Command) []error {
	flags := configurable(cmd)
	faults := fromEnvironment(flags)
	if a.configFile == "" {
		return faults
	}
	settings, err := readConfigFile(a.configFile)
	if err != nil {
		return append(faults, err)
	}
	return append(faults, fromFile(a.configFile, settings, flags, allConfigurable(cmd.Root()))...)
}

// configurable are the flags that may be set elsewhere than on the command
// line, in order of their names.
func configurable(cmd *cobra.Command) []*pflag.Flag {
	var flags []*pflag.Flag
	add := func(f *pflag.Flag) {
		if f.Name != "help" && f.Name != "version" {
			flags = append(flags, f)
		}
	}
	cmd.Root().PersistentFlags().VisitAll(add)
	if cmd.Annotations[configuredMark] != "" {
		cmd.LocalNonPersistentFlags().VisitAll(add)
	}
	slices.SortFunc(flags, func(x, y *pflag.Flag) int { return strings.Compare(x.Name, y.Name) })
	return flags
}

// allConfigurable are the keys of a configuration file, of all commands: one
// file may serve several.
func allConfigurable(cmd *cobra.Command) map[string]bool {
	keys := map[string]bool{}
	for _, f := range configurable(cmd) {
		keys[f.Name] = f.Name != "config"
	}
	for _, sub := range cmd.Commands() {
		for key, ok := range allConfigurable(sub) {
			keys[key] = ok
		}
	}
	return keys
}

// envName is the variable of a flag.
func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

func fromEnvironment(flags []*pflag.Flag) []error {
	var faults []error
	for _, f := range flags {
		value, set := os.LookupEnv(envName(f.Name))
		if !set || value == "" || f.Changed {
			continue
		}
		if err := setFlag(f, []string{value}); err != nil {
			faults = append(faults, fmt.Errorf("%s=%q: %w", envName(f.Name), value, err))
		}
	}
	return faults
}

// setFlag sets a flag as if it had been given. A list is replaced whole, where
// Set would append from the second time on.
func setFlag(f *pflag.Flag, values []string) error {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		if err := list.Replace(splitList(values)); err != nil {
			return fmt.Errorf("want a list for --%s: %w", f.Name, err)
		}
	} else if len(values) != 1 {
		return fmt.Errorf("want one %s for --%s, not a list", f.Value.Type(), f.Name)
	} else if err := f.Value.Set(values[0]); err != nil {
		return fmt.Errorf("want a %s for --%s: %w", f.Value.Type(), f.Name, err)
	}
	f.Changed = true
	return nil
}

// splitList splits what strings say of a list, as a flag does.
func splitList(values []string) []string {
	var parts []string
	for _, value := range values {
		for part := range strings.SplitSeq(value, ",") {
			parts = append(parts, strings.TrimSpace(part))
		}
	}
	return parts
}

// setting is one key of the configuration file.
type setting struct {
	key    string
	line   int
	values []string // one, or a list's
	err    error    // why the value is none
}

func fromFile(path string, settings []setting, flags []*pflag.Flag, known map[string]bool) []error {
	var faults []error
	for _, s := range settings {
		if err := s.apply(flags, known); err != nil {
			faults = append(faults, fmt.Errorf("%s:%d: key %q: %w", path, s.line, s.key, err))
		}
	}
	return faults
}

func (s setting) apply(flags []*pflag.Flag, known map[string]bool) error {
	if !known[s.key] {
		return errors.New("is unknown" + suggestion(s.key, known))
	}
	if s.err != nil {
		return s.err
	}
	for _, f := range flags {
		if f.Name == s.key && !f.Changed {
			return setFlag(f, s.values)
		}
	}
	return nil
}

// suggestion names the known key that was probably meant.
func suggestion(key string, known map[string]bool) string {
	plain := strings.NewReplacer("_", "", "-", "")
	for candidate, ok := range known {
		if ok && strings.EqualFold(plain.Replace(candidate), plain.Replace(key)) {
			return fmt.Sprintf(": did you mean %q?", candidate)
		}
	}
	return ": keys are the names of flags, see --help"
}

// readConfigFile gives the settings of a YAML file: one mapping, whose values
// are scalars or lists of scalars.
func readConfigFile(path string) ([]setting, error) {
	text, err := readBounded(path)
	if err != nil {
		return nil, err
	}
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, fmt.Errorf("configuration file %s is not YAML: %s", path, firstLine(yaml.FormatError(err, false, false)))
	}
	var settings []setting
	for i, doc := range file.Docs {
		if i > 0 {
			return nil, fmt.Errorf("configuration file %s has %d documents: want one", path, len(file.Docs))
		}
		if doc.Body == nil {
			continue
		}
		if settings, err = readMapping(path, doc.Body); err != nil {
			return nil, err
		}
	}
	return settings, nil
}

func readBounded(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("configuration file %s does not exist: create it, or leave out --config", path)
	}
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > configFileMax {
		return nil, fmt.Errorf("configuration file %s: want a file of at most %d bytes", path, configFileMax)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	return text, nil
}

func readMapping(path string, body ast.Node) ([]setting, error) {
	var pairs []*ast.MappingValueNode
	switch node := body.(type) {
	case *ast.MappingNode:
		pairs = node.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{node}
	case *ast.CommentGroupNode:
		return nil, nil
	default:
		return nil, fmt.Errorf("configuration file %s:%d: want lines of the form \"flag: value\"", path, body.GetToken().Position.Line)
	}
	settings := make([]setting, 0, len(pairs))
	for _, pair := range pairs {
		s := setting{key: pair.Key.GetToken().Value, line: pair.Key.GetToken().Position.Line}
		s.values, s.err = readValues(pair.Value)
		settings = append(settings, s)
	}
	return settings, nil
}

func readValues(node ast.Node) ([]string, error) {
	list, ok := node.(*ast.SequenceNode)
	if !ok {
		value, err := readScalar(node)
		return []string{value}, err
	}
	values := make([]string, 0, len(list.Values))
	for _, item := range list.Values {
		value, err := readScalar(item)
		if err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return values, nil
}

// readScalar gives a value as it is written, so that a flag parses the same
// text wherever it comes from.
func readScalar(node ast.Node) (string, error) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, nil
	case *ast.NullNode:
		return "", errors.New("has no value: give one, or remove the line")
	default:
		return "", fmt.Errorf("is a %s: want a value, or a list of values", node.Type())
	}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return cmp.Or(line, "it cannot be read")
}
