package wire

import (
	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
)

// ToSettings puts all settings onto the wire.
func ToSettings(s registry.Settings) *rotav1.Settings {
	return ToSettingsChange(registry.SettingsChange{
		NodeTopicPrefix: &s.NodeTopicPrefix, NodeIDTopicPrefix: &s.NodeIDTopicPrefix,
		PoolTopicPrefix: &s.PoolTopicPrefix, LogTopicPrefix: &s.LogTopicPrefix, TopicSeparator: &s.TopicSeparator,
		ManagerIsLogger: &s.ManagerIsLogger, EnableRoundRobinLogging: &s.EnableRoundRobinLogging,
		Assignment: &s.Assignment, NodeTypes: &s.NodeTypes,
		FailedRetention: &s.FailedRetention, LeftRetention: &s.LeftRetention,
	})
}

// FromSettings reads all settings; one that is absent is zero.
func FromSettings(s *rotav1.Settings) (registry.Settings, error) {
	c, err := FromSettingsChange(s)
	if err != nil {
		return registry.Settings{}, err
	}
	return registry.Settings{
		NodeTopicPrefix: or(c.NodeTopicPrefix), NodeIDTopicPrefix: or(c.NodeIDTopicPrefix),
		PoolTopicPrefix: or(c.PoolTopicPrefix), LogTopicPrefix: or(c.LogTopicPrefix), TopicSeparator: or(c.TopicSeparator),
		ManagerIsLogger: or(c.ManagerIsLogger), EnableRoundRobinLogging: or(c.EnableRoundRobinLogging),
		Assignment: or(c.Assignment), NodeTypes: or(c.NodeTypes),
		FailedRetention: or(c.FailedRetention), LeftRetention: or(c.LeftRetention),
	}, nil
}

// ToSettingsChange puts onto the wire what is to change.
func ToSettingsChange(c registry.SettingsChange) *rotav1.Settings {
	s := &rotav1.Settings{
		NodeTopicPrefix: text(c.NodeTopicPrefix), NodeidTopicPrefix: text(c.NodeIDTopicPrefix),
		PoolTopicPrefix: text(c.PoolTopicPrefix), LogTopicPrefix: text(c.LogTopicPrefix), TopicSeparator: text(c.TopicSeparator),
		EnableRoundRobinLogging: clone(c.EnableRoundRobinLogging),
		FailedRetentionMs:       number[int64](c.FailedRetention), LeftRetentionMs: number[int64](c.LeftRetention),
	}
	if c.ManagerIsLogger != nil {
		name := c.ManagerIsLogger.String()
		s.ManagerIsLogger = &name
	}
	if c.Assignment != nil {
		name := c.Assignment.String()
		s.Assignment = &name
	}
	if c.NodeTypes != nil {
		s.NodeTypes = &rotav1.NodeTypes{Types: Strings(*c.NodeTypes)}
	}
	return s
}

// FromSettingsChange reads what is to change: the fields that are there.
func FromSettingsChange(s *rotav1.Settings) (registry.SettingsChange, error) {
	if s == nil {
		return registry.SettingsChange{}, registry.Errorf(registry.Invalid, "settings: missing: give the settings that are to change, with their new values")
	}
	c := registry.SettingsChange{
		NodeTopicPrefix: topic(s.NodeTopicPrefix), NodeIDTopicPrefix: topic(s.NodeidTopicPrefix),
		PoolTopicPrefix: topic(s.PoolTopicPrefix), LogTopicPrefix: topic(s.LogTopicPrefix), TopicSeparator: text(s.TopicSeparator),
		EnableRoundRobinLogging: clone(s.EnableRoundRobinLogging),
		FailedRetention:         number[registry.Millis](s.FailedRetentionMs), LeftRetention: number[registry.Millis](s.LeftRetentionMs),
	}
	if s.NodeTypes != nil {
		types := Names[registry.NodeType](s.NodeTypes.GetTypes())
		c.NodeTypes = &types
	}
	var err error
	if c.ManagerIsLogger, err = parsed(s.ManagerIsLogger, registry.ParseManagerIsLogger); err != nil {
		return c, err
	}
	c.Assignment, err = parsed(s.Assignment, registry.ParseAssignment)
	return c, err
}

func parsed[T any](s *string, parse func(string) (T, error)) (*T, error) {
	if s == nil {
		return nil, nil
	}
	value, err := parse(*s)
	if err != nil {
		return nil, err
	}
	return &value, nil
}

func text[T ~string](p *T) *string {
	if p == nil {
		return nil
	}
	s := string(*p)
	return &s
}

func topic(p *string) *registry.Topic {
	if p == nil {
		return nil
	}
	t := registry.Topic(*p)
	return &t
}

func number[U, T ~int64](p *T) *U {
	if p == nil {
		return nil
	}
	n := U(*p)
	return &n
}

func or[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
