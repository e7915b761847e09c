package registry

// The bounds of everything, in one place. A violation is refused before it is
// proposed, and checked again in Apply; at the bound and one past it there is
// a test.
const (
	PoolsMax       = 1_000
	NodesMax       = 5_000
	MembersMax     = 5_000   // of one pool
	MembershipsMax = 500_000 // of all pools together
	CursorsMax     = 100_000 // of all pools together
	SessionsMax    = 100_000 // the one unused for longest is forgotten for a new one
	ReplicasMax    = 15

	NameMax    = 63   // bytes of a pool's, node's or replica's name
	TypeMax    = 32   // bytes of a node type
	TopicMax   = 255  // bytes of a topic or a topic prefix
	AddressMax = 255  // bytes of a host:port
	ReasonMax  = 255  // bytes of a reason, and of who gave it
	RRKeyMax   = 255  // bytes of a round-robin key
	LogIDMax   = 255  // bytes of a log id and of a log path
	KeyMax     = 4096 // bytes of an hrw key's value
	MetaMax    = 1024 // bytes of what a node says of itself over gossip

	NodeTypesMax = 64 // types in the node_types setting

	WatchersMax       = 1_024   // of pools, at one replica
	WatchChangesMax   = 16_384  // changes of watched pools that one replica remembers,
	WatchMembersMax   = 262_144 // and members in them
	FollowStepsMax    = 256     // views that wait for whoever follows the state machine,
	FollowTurnoverMax = 500_000 // and what keeping them costs (see Turnover); one alone may cost more

	BatchAnswersMax = 16_384   // round-robin answers of one command
	BatchKeysMax    = 4_096    // keys of one HrwTopics
	BatchTurnsMax   = 4_096    // turns of one RoundRobin
	CheckpointsMax  = 8        // hashes of what was applied that a replica remembers
	WaitingMax      = 8_192    // round-robin requests that one replica holds unanswered
	WaitingBytesMax = 16 << 20 // of log, that their turns take
	LivenessMax     = 1_024    // changes of one ReportLiveness
	ForgetMax       = 1_024    // cursors of one ForgetCursors; with another number it is another command
	SuspectsMax     = 1_024    // lives about which replicas are asked at once,
	ProbesMax       = 64       // and those of them that are called directly
	BrokenMax       = 1_024    // broken connections of agents that one replica has not looked at
	AttendedMax     = 5_000    // agents that keep a connection to one replica
	FrozenTypesMax  = 64       // frozen types that a leader tells of in a greeting
	OutstandingMax  = 1_024    // serials of one session from its first unacknowledged one
	// StoredMax bounds the stored answers of all sessions together. One weighs
	// as many as it holds, and at least 1.
	StoredMax        = 1_000_000
	RankMax          = 64 // entries of a ranking; explain gives all
	BodyMax          = 64 << 10
	BatchBodyMax     = 1 << 20   // bodies of batches, forwards and layouts
	EntryMax         = 256 << 10 // bytes of a log entry
	DeadlineDefault  = Millis(5_000)
	DeadlineMax      = Millis(30_000)
	RetentionMin     = Millis(1_000)
	RetentionMax     = Millis(10 * 365 * 24 * 3_600_000)
	FailedRetention  = Millis(72 * 3_600_000)
	LeftRetention    = Millis(10 * 60_000)
	CursorRetention  = Millis(30 * 24 * 3_600_000) // of log clock since its last use
	SessionRetention = Millis(3_600_000)           // of log clock since its last use
	BootIDLen        = 16
	ClusterIDLen     = 32
	StoreIDLen       = 32
	SessionIDLen     = 32
	MaxNodesMax      = 1_000_000 // of a spec; more than there can be is "all"
	RoundRobinLogKey = "Cluster::rr_log_topic"
)
