package wire

import "github.com/rota-registry/rota/registry"

// FromLogTopic reads what rr_log_topic is asked with. The path is Zeek's, and
// changes no answer.
func FromLogTopic(id, path string) (registry.Turn, error) {
	if id == "" {
		return registry.Turn{}, registry.Errorf(registry.Invalid, "log id is empty: give one like Conn::LOG")
	}
	if n := len(path); n > registry.LogIDMax {
		return registry.Turn{}, registry.Errorf(registry.Invalid, "path %q has %d bytes, at most %d are allowed", Clip(path), n, registry.LogIDMax)
	}
	return registry.Turn{LogID: id}, nil
}
