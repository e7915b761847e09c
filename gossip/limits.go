package gossip

// The bounds of what is believed of others, who may be anybody that reaches
// the port.
const (
	// NameMax is the length of a name in bytes.
	NameMax = 63
	// BootLen is the length of a boot id in hex digits.
	BootLen = 16
	// LabelMax is the length of a label in bytes.
	LabelMax = 255
	// APIMax is the length of an API address in bytes.
	APIMax = 255
	// MetaMax is the length of an encoded metadata in bytes. memberlist itself
	// carries 512, and what is sent here is shorter than both.
	MetaMax = 1024
	// LivesMax is how many lives may be in view: 5,000 nodes, most of them
	// just restarted, and room. As many are remembered that went out of view.
	LivesMax = 16_384
	// SeedsMax is how many seeds a round of joins tries; the rest is ignored.
	SeedsMax = 64
	// refusalsMax is how many refused names are remembered, and so how many
	// warnings strangers can cause.
	refusalsMax = 128
)
