package wire

import (
	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
)

// FromConsistency reads what a request asks for; unspecified is linearizable.
func FromConsistency(c rotav1.Consistency, atLeast uint64) (registry.ReadOptions, error) {
	options := registry.ReadOptions{AtLeastIndex: registry.Index(atLeast)}
	switch c {
	case rotav1.Consistency_CONSISTENCY_UNSPECIFIED, rotav1.Consistency_CONSISTENCY_LINEARIZABLE:
		options.Consistency = registry.Linearizable
	case rotav1.Consistency_CONSISTENCY_AT_LEAST:
		options.Consistency = registry.AtLeast
	case rotav1.Consistency_CONSISTENCY_LOCAL:
		options.Consistency = registry.Local
	default:
		return options, registry.Errorf(registry.Invalid, "consistency %d: not known: use linearizable (1), at_least (2) or local (3)", c)
	}
	return options, nil
}

// ToConsistency gives the value that asks for it.
func ToConsistency(c registry.Consistency) rotav1.Consistency {
	switch c {
	case registry.AtLeast:
		return rotav1.Consistency_CONSISTENCY_AT_LEAST
	case registry.Local:
		return rotav1.Consistency_CONSISTENCY_LOCAL
	case registry.Linearizable:
	}
	return rotav1.Consistency_CONSISTENCY_LINEARIZABLE
}

// ToAge gives the age_ms of an answer: Local reads alone have one.
func ToAge(options registry.ReadOptions, info registry.ReadInfo) *uint64 {
	if options.Consistency != registry.Local {
		return nil
	}
	age := uint64(max(info.Age, 0))
	return &age
}
