package registry

import (
	"slices"
	"strings"
)

// DefaultSettings are Zeek's, where it has them.
func DefaultSettings() Settings {
	return Settings{
		NodeTopicPrefix:         "zeek/cluster/node/",
		NodeIDTopicPrefix:       "zeek/cluster/nodeid/",
		PoolTopicPrefix:         "zeek/cluster/pool/",
		LogTopicPrefix:          "zeek/logs/",
		TopicSeparator:          "/",
		EnableRoundRobinLogging: true,
		FailedRetention:         FailedRetention,
		LeftRetention:           LeftRetention,
	}
}

// Validate says what is wrong with the settings, or nil.
func (s *Settings) Validate() error {
	for _, p := range []struct {
		name   string
		prefix Topic
	}{
		{"node_topic_prefix", s.NodeTopicPrefix},
		{"nodeid_topic_prefix", s.NodeIDTopicPrefix},
		{"pool_topic_prefix", s.PoolTopicPrefix},
		{"log_topic_prefix", s.LogTopicPrefix},
	} {
		if err := validateTopic(p.name, p.prefix); err != nil {
			return err
		}
	}
	if s.TopicSeparator != "/" && s.TopicSeparator != "." {
		return Errorf(Invalid, "topic_separator %q: use / or .", clip(s.TopicSeparator))
	}
	if s.ManagerIsLogger > ManagerIsLoggerFalse {
		return Errorf(Invalid, "manager_is_logger %d: use auto, true or false", s.ManagerIsLogger)
	}
	if s.Assignment > AssignZeek {
		return Errorf(Invalid, "assignment %d: use stable or zeek", s.Assignment)
	}
	if err := validateNodeTypes(s.NodeTypes); err != nil {
		return err
	}
	if err := validateRetention("failed_retention", s.FailedRetention); err != nil {
		return err
	}
	return validateRetention("left_retention", s.LeftRetention)
}

func validateNodeTypes(types []NodeType) error {
	if len(types) > NodeTypesMax {
		return Errorf(Invalid, "node_types has %d types, at most %d are allowed; none at all allows every type", len(types), NodeTypesMax)
	}
	for i, t := range types {
		if err := t.Validate(); err != nil {
			return Errorf(Invalid, "node_types: %v", err)
		}
		if slices.Contains(types[:i], t) {
			return Errorf(Invalid, "node_types has %q twice: name each type once", t)
		}
	}
	return nil
}

func validateRetention(what string, d Millis) error {
	if d < RetentionMin || d > RetentionMax {
		return Errorf(Invalid, "%s %s: use %s to %s", what, formatMillis(d), formatMillis(RetentionMin), formatMillis(RetentionMax))
	}
	return nil
}

// validateTopic holds for topics and prefixes of topics as they are stored.
func validateTopic(what string, t Topic) error {
	if t == "" {
		return Errorf(Invalid, "%s is empty: give 1 to %d bytes", what, TopicMax)
	}
	return validateText(what, string(t), TopicMax)
}

// Show gives a stored topic as users see it.
func (s *Settings) Show(t Topic) string {
	if s.TopicSeparator == "/" {
		return string(t)
	}
	return strings.ReplaceAll(string(t), "/", s.TopicSeparator)
}

func (s *Settings) nodeTopic(n NodeName) string {
	return s.Show(s.NodeTopicPrefix + Topic(n) + "/")
}

// sameNodeTopics reports whether nodes have the same topics under both.
func (s *Settings) sameNodeTopics(o *Settings) bool { return s.nodeTopic("") == o.nodeTopic("") }

// Allows reports whether the node_types setting has room for the type.
func (s *Settings) Allows(t NodeType) bool {
	return len(s.NodeTypes) == 0 || t == Manager || slices.Contains(s.NodeTypes, t)
}

func (s Settings) clone() Settings {
	s.NodeTypes = slices.Clone(s.NodeTypes)
	return s
}

func (s Settings) equal(o Settings) bool {
	types := slices.Equal(s.NodeTypes, o.NodeTypes)
	return types && s.NodeTopicPrefix == o.NodeTopicPrefix && s.NodeIDTopicPrefix == o.NodeIDTopicPrefix &&
		s.PoolTopicPrefix == o.PoolTopicPrefix && s.LogTopicPrefix == o.LogTopicPrefix &&
		s.TopicSeparator == o.TopicSeparator && s.ManagerIsLogger == o.ManagerIsLogger &&
		s.EnableRoundRobinLogging == o.EnableRoundRobinLogging && s.Assignment == o.Assignment &&
		s.FailedRetention == o.FailedRetention && s.LeftRetention == o.LeftRetention
}

// with gives the settings after the change. Node types are kept sorted, and
// none as nil, so that equal settings are equal bytes.
func (s Settings) with(c SettingsChange) Settings {
	s = s.clone()
	set(&s.NodeTopicPrefix, c.NodeTopicPrefix)
	set(&s.NodeIDTopicPrefix, c.NodeIDTopicPrefix)
	set(&s.PoolTopicPrefix, c.PoolTopicPrefix)
	set(&s.LogTopicPrefix, c.LogTopicPrefix)
	set(&s.TopicSeparator, c.TopicSeparator)
	set(&s.ManagerIsLogger, c.ManagerIsLogger)
	set(&s.EnableRoundRobinLogging, c.EnableRoundRobinLogging)
	set(&s.Assignment, c.Assignment)
	set(&s.FailedRetention, c.FailedRetention)
	set(&s.LeftRetention, c.LeftRetention)
	if c.NodeTypes != nil {
		s.NodeTypes = nil
		if len(*c.NodeTypes) > 0 {
			s.NodeTypes = slices.Sorted(slices.Values(*c.NodeTypes))
		}
	}
	return s
}

func set[T any](field, value *T) {
	if value != nil {
		*field = *value
	}
}
