package wire

import "github.com/rota-registry/rota/registry"

// FromConsistency reads what a request asks for; nothing is linearizable.
func FromConsistency(c string, atLeast uint64) (registry.ReadOptions, error) {
	options := registry.ReadOptions{AtLeastIndex: registry.Index(atLeast)}
	if c == "" {
		return options, nil
	}
	for _, known := range []registry.Consistency{registry.Linearizable, registry.AtLeast, registry.Local} {
		if c == known.String() {
			options.Consistency = known
			return options, nil
		}
	}
	return options, registry.Errorf(registry.Invalid, "consistency %q is unknown: use linearizable, at_least or local", Clip(c))
}

// ToAge gives the age_ms of an answer: Local reads alone have one.
func ToAge(options registry.ReadOptions, info registry.ReadInfo) *uint64 {
	if options.Consistency != registry.Local {
		return nil
	}
	age := uint64(max(info.Age, 0))
	return &age
}
