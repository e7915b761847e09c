package registry

import (
	"math"
	"strconv"
	"strings"
)

// String gives the value as people write it.
func (m ManagerIsLogger) String() string {
	switch m {
	case ManagerIsLoggerAuto:
		return "auto"
	case ManagerIsLoggerTrue:
		return "true"
	case ManagerIsLoggerFalse:
		return "false"
	}
	return "unknown"
}

// ParseManagerIsLogger reads auto, true or false.
func ParseManagerIsLogger(text string) (ManagerIsLogger, error) {
	for m := ManagerIsLoggerAuto; m <= ManagerIsLoggerFalse; m++ {
		if m.String() == text {
			return m, nil
		}
	}
	return 0, Errorf(Invalid, "manager_is_logger %q: use auto, true or false", clip(text))
}

// String gives the value as people write it.
func (a Assignment) String() string {
	switch a {
	case AssignStable:
		return "stable"
	case AssignZeek:
		return "zeek"
	}
	return "unknown"
}

// ParseAssignment reads stable or zeek.
func ParseAssignment(text string) (Assignment, error) {
	for a := AssignStable; a <= AssignZeek; a++ {
		if a.String() == text {
			return a, nil
		}
	}
	return 0, Errorf(Invalid, "assignment %q: use stable or zeek", clip(text))
}

// Setting is one setting as people read and write it.
type Setting struct{ Name, Value string }

// List gives every setting by its name, in the order of the documentation.
func (s *Settings) List() []Setting {
	types := make([]string, len(s.NodeTypes))
	for i, t := range s.NodeTypes {
		types[i] = string(t)
	}
	return []Setting{
		{"node_topic_prefix", string(s.NodeTopicPrefix)},
		{"nodeid_topic_prefix", string(s.NodeIDTopicPrefix)},
		{"pool_topic_prefix", string(s.PoolTopicPrefix)},
		{"log_topic_prefix", string(s.LogTopicPrefix)},
		{"topic_separator", s.TopicSeparator},
		{"manager_is_logger", s.ManagerIsLogger.String()},
		{"enable_round_robin_logging", strconv.FormatBool(s.EnableRoundRobinLogging)},
		{"assignment", s.Assignment.String()},
		{"node_types", strings.Join(types, " ")},
		{"failed_retention", formatMillis(s.FailedRetention)},
		{"left_retention", formatMillis(s.LeftRetention)},
	}
}

// ParseSetting reads one setting as List writes it. An empty node_types allows
// every type again.
func ParseSetting(name, value string) (SettingsChange, error) {
	c, err := parseSetting(name, value)
	if err != nil {
		return SettingsChange{}, err
	}
	changed := DefaultSettings().with(c)
	if err := changed.Validate(); err != nil {
		return SettingsChange{}, err
	}
	return c, nil
}

func parseSetting(name, value string) (c SettingsChange, err error) {
	topic := Topic(value)
	switch name {
	case "node_topic_prefix":
		c.NodeTopicPrefix = &topic
	case "nodeid_topic_prefix":
		c.NodeIDTopicPrefix = &topic
	case "pool_topic_prefix":
		c.PoolTopicPrefix = &topic
	case "log_topic_prefix":
		c.LogTopicPrefix = &topic
	case "topic_separator":
		c.TopicSeparator = &value
	case "manager_is_logger":
		c.ManagerIsLogger, err = parsed(ParseManagerIsLogger(value))
	case "enable_round_robin_logging":
		c.EnableRoundRobinLogging, err = parsed(parseBool(name, value))
	case "assignment":
		c.Assignment, err = parsed(ParseAssignment(value))
	case "node_types":
		c.NodeTypes = parseNodeTypes(value)
	case "failed_retention":
		c.FailedRetention, err = parsed(parseMillis(name, value))
	case "left_retention":
		c.LeftRetention, err = parsed(parseMillis(name, value))
	default:
		err = Errorf(Invalid, "setting %q does not exist: see `rota settings get` for those that do", clip(name))
	}
	return c, err
}

func parsed[T any](v T, err error) (*T, error) { return &v, err }

func parseBool(what, text string) (bool, error) {
	if text != "true" && text != "false" {
		return false, Errorf(Invalid, "%s %q: use true or false", what, clip(text))
	}
	return text == "true", nil
}

func parseNodeTypes(text string) *[]NodeType {
	types := []NodeType{}
	for _, t := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' }) {
		types = append(types, NodeType(t))
	}
	return &types
}

// unit is one unit of a duration's text, in ms.
type unit struct {
	name string
	size Millis
}

// units are those of a duration, largest first.
func units() []unit {
	return []unit{{"h", 3_600_000}, {"m", 60_000}, {"s", 1_000}, {"ms", 1}}
}

// formatMillis writes a span as parseMillis reads it: 72h, 10m, 1h30m, 1s500ms.
func formatMillis(d Millis) string {
	if d == 0 {
		return "0s"
	}
	text := ""
	if d < 0 {
		text = "-"
	}
	for _, u := range units() {
		if n := d / u.size; n != 0 {
			text += strings.TrimPrefix(strconv.FormatInt(int64(n), 10), "-") + u.name
			d -= n * u.size
		}
	}
	return text
}

// parseMillis reads whole numbers with the units h, m, s and ms.
func parseMillis(what, text string) (Millis, error) {
	refused := Errorf(Invalid, "%s %q: write a duration as 72h, 10m or 1h30m", what, clip(text))
	if text == "" {
		return 0, refused
	}
	var sum Millis
	for rest := text; rest != ""; {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		n, err := strconv.ParseInt(rest[:digits], 10, 64)
		if err != nil {
			return 0, refused
		}
		rest = rest[digits:]
		word := rest[:len(rest)-len(strings.TrimLeft(rest, "hms"))]
		size := sizeOf(word)
		if size == 0 || n > (math.MaxInt64-int64(sum))/int64(size) {
			return 0, refused
		}
		sum += Millis(n) * size
		rest = rest[len(word):]
	}
	return sum, nil
}

// sizeOf gives the unit's size, or 0 if there is none of that name.
func sizeOf(name string) Millis {
	for _, u := range units() {
		if u.name == name {
			return u.size
		}
	}
	return 0
}
