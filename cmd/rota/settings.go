package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/client"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/wire"
)

func newSettingsCommand(a *app) *cobra.Command {
	return newGroup("settings", "Show and change the cluster's settings", newSettingsGetCommand(a), newSettingsSetCommand(a))
}

func newSettingsGetCommand(a *app) *cobra.Command {
	f := &freshness{}
	cmd := &cobra.Command{
		Use:   "get [NAME…]",
		Short: "Show settings, or one setting's bare value",
		Example: `  rota settings get
  rota settings get assignment
  rota settings get failed_retention left_retention`,
		Args:              takes("[NAME…]"),
		ValidArgsFunction: completeSettingNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, name := range args {
				if !slices.Contains(settingNames(), name) {
					return usagef("setting %q does not exist: use %s", name, strings.Join(settingNames(), ", "))
				}
			}
			return a.read(cmd, f, func(ctx context.Context, c *client.Client, opts []client.ReadOption) error {
				return a.getSettings(ctx, c, args, f, opts)
			})
		},
	}
	f.addFlags(cmd)
	return cmd
}

func (a *app) getSettings(ctx context.Context, c *client.Client, names []string, f *freshness, opts []client.ReadOption) error {
	state, err := c.Settings(ctx, opts...)
	if err != nil {
		return err
	}
	f.sayAge(a, state.Served)
	text := settingsTable(state.Settings, names)
	if len(names) == 1 {
		text = settingValue(state.Settings, names[0]) + "\n"
	}
	return a.emit(&rotav1.GetSettingsResponse{
		Settings: pickSettings(wire.ToSettings(state.Settings), names),
		Index:    uint64(state.Index), Term: uint64(state.Term), ServedBy: string(state.ServedBy), AgeMs: f.age(state.Served),
	}, text)
}

func newSettingsSetCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "set NAME=VALUE…",
		Short: "Change settings, several in one step",
		Long: `Change settings, several in one step: all of them or none. Durations are written
as 72h, 10m or 1h30m, node types with spaces or commas between them; no node
types at all (node_types=) allows every one.`,
		Example: `  rota settings set assignment=stable
  rota settings set manager_is_logger=auto enable_round_robin_logging=true
  rota settings set failed_retention=72h left_retention=10m
  rota settings set 'node_types=worker proxy logger'`,
		Args:              takes("NAME=VALUE…"),
		ValidArgsFunction: completeSettings,
		RunE: func(cmd *cobra.Command, args []string) error {
			change, names, err := parseSettings(args)
			if err != nil {
				return err
			}
			return a.ask(cmd, func(ctx context.Context, c *client.Client) error { return a.setSettings(ctx, c, change, names) })
		},
	}
}

// parseSettings makes one change of all assignments, and gives the names in it.
func parseSettings(args []string) (registry.SettingsChange, []string, error) {
	whole := &rotav1.Settings{}
	var names []string
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok {
			return registry.SettingsChange{}, nil, usagef("%q has no value: write %s=VALUE", arg, arg)
		}
		if slices.Contains(names, name) {
			return registry.SettingsChange{}, nil, usagef("setting %q is given twice: give it once", name)
		}
		one, err := registry.ParseSetting(name, value)
		if err != nil {
			return registry.SettingsChange{}, nil, fmt.Errorf("nothing is set: %w", err)
		}
		names = append(names, name)
		proto.Merge(whole, wire.ToSettingsChange(one))
	}
	change, err := wire.FromSettingsChange(whole)
	return change, names, err
}

func (a *app) setSettings(ctx context.Context, c *client.Client, change registry.SettingsChange, names []string) error {
	state, err := c.SetSettings(ctx, change)
	if err != nil {
		return err
	}
	if !state.Changed {
		a.say("nothing is changed: the settings were like that already")
	}
	return a.emit(&rotav1.SetSettingsResponse{
		Settings: wire.ToSettings(state.Settings), Changed: state.Changed,
		Index: uint64(state.Index), Term: uint64(state.Term), ServedBy: string(state.ServedBy),
	}, settingsTable(state.Settings, names))
}

// settingsTable shows the named settings, without names all.
func settingsTable(s registry.Settings, names []string) string {
	t := newTable("SETTING", "VALUE")
	for _, one := range s.List() {
		if len(names) == 0 || slices.Contains(names, one.Name) {
			t.add(one.Name, one.Value)
		}
	}
	return t.String()
}

func settingValue(s registry.Settings, name string) string {
	for _, one := range s.List() {
		if one.Name == name {
			return one.Value
		}
	}
	return ""
}

// pickSettings leaves the named settings, without names all. On the wire their
// names are the same, but for the unit.
func pickSettings(s *rotav1.Settings, names []string) *rotav1.Settings {
	fields := s.ProtoReflect()
	fields.Range(func(field protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		name := strings.TrimSuffix(string(field.Name()), "_ms")
		if len(names) > 0 && !slices.Contains(names, name) {
			fields.Clear(field)
		}
		return true
	})
	return s
}
