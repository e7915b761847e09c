package registry

// Settings are cluster-wide and change through the log.
type Settings struct {
	NodeTopicPrefix   Topic // node topic = prefix + name + "/"
	NodeIDTopicPrefix Topic // node-id topic = prefix + name#boot + "/"
	PoolTopicPrefix   Topic // a pool's topic defaults to prefix + name
	LogTopicPrefix    Topic // fallback of rr_log_topic = prefix + log id
	// TopicSeparator is "/", or "." for Zeek's ZeroMQ backend: then every "/"
	// of a topic is shown as ".".
	TopicSeparator string
	// ManagerIsLogger puts the first manager behind the loggers.
	ManagerIsLogger ManagerIsLogger
	// EnableRoundRobinLogging false makes rr_log_topic always give the
	// fallback.
	EnableRoundRobinLogging bool
	Assignment              Assignment
	// NodeTypes are the types that nodes and pools may have besides manager;
	// empty is any valid one.
	NodeTypes []NodeType
	// FailedRetention and LeftRetention are how long, in ms of log clock, a
	// node that is not static stays in the layout when failed or left.
	FailedRetention Millis
	LeftRetention   Millis
}

// ManagerIsLogger is the value of the manager_is_logger setting. Values are
// stored: append only.
type ManagerIsLogger uint8

// The values.
const (
	ManagerIsLoggerAuto ManagerIsLogger = iota // while the layout has no logger
	ManagerIsLoggerTrue
	ManagerIsLoggerFalse
)

// Assignment is the value of the assignment setting. Values are stored: append
// only.
type Assignment uint8

// The values.
const (
	AssignStable Assignment = iota // joins and leaves move no other member
	AssignZeek                     // Zeek's whole function at each join and leave
)

// SettingsChange names the settings to change; nil leaves one as it is.
type SettingsChange struct {
	NodeTopicPrefix         *Topic
	NodeIDTopicPrefix       *Topic
	PoolTopicPrefix         *Topic
	LogTopicPrefix          *Topic
	TopicSeparator          *string
	ManagerIsLogger         *ManagerIsLogger
	EnableRoundRobinLogging *bool
	Assignment              *Assignment
	NodeTypes               *[]NodeType
	FailedRetention         *Millis
	LeftRetention           *Millis
}
