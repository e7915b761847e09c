package wire

import (
	"fmt"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
)

// FromKeys reads hrw keys. Field is where they stand in the request, for the
// error: "key", or "keys" for "keys[3]".
func FromKeys(field string, keys []*rotav1.Key) ([]hrw.Key, error) {
	out := make([]hrw.Key, len(keys))
	for i, k := range keys {
		var err error
		if out[i], err = fromKey(k); err == nil {
			continue
		}
		if field == "keys" {
			field = fmt.Sprintf("keys[%d]", i)
		}
		return nil, registry.Errorf(registry.CodeOf(err), "%s: %v", field, err)
	}
	return out, nil
}

// FromStrings reads hrw keys that are all strings, as FromKeys does.
func FromStrings(field string, keys []string) ([]hrw.Key, error) {
	out := make([]hrw.Key, len(keys))
	for i, k := range keys {
		out[i] = hrw.String(k)
		if err := checkLen(out[i]); err != nil {
			return nil, registry.Errorf(registry.CodeOf(err), "%s[%d]: %v", field, i, err)
		}
	}
	return out, nil
}

func fromKey(k *rotav1.Key) (hrw.Key, error) {
	if k.GetKind() == nil {
		return hrw.Key{}, registry.Errorf(registry.Invalid, "missing: give one of string, bytes, count, int, bool, double, time, interval, enum, port, addr, subnet, digest")
	}
	key, err := fromKind(k)
	if err != nil {
		return hrw.Key{}, registry.Errorf(registry.Invalid, "%v", err)
	}
	return key, checkLen(key)
}

func checkLen(k hrw.Key) error {
	if n := k.Len(); n > registry.KeyMax {
		return registry.Errorf(registry.Limit, "it has %d bytes, at most %d are allowed: hash it yourself and give its digest", n, registry.KeyMax)
	}
	return nil
}

func fromKind(k *rotav1.Key) (hrw.Key, error) {
	switch kind := k.GetKind().(type) {
	case *rotav1.Key_String_:
		return hrw.String(kind.String_), nil
	case *rotav1.Key_Bytes:
		return hrw.Bytes(kind.Bytes), nil
	case *rotav1.Key_Count:
		return hrw.Count(kind.Count), nil
	case *rotav1.Key_Int:
		return hrw.Int(kind.Int), nil
	case *rotav1.Key_Bool:
		return hrw.Bool(kind.Bool), nil
	case *rotav1.Key_Digest:
		return hrw.Digest(kind.Digest), nil
	case *rotav1.Key_Double:
		return hrw.Double(kind.Double)
	case *rotav1.Key_Time:
		return hrw.Time(kind.Time)
	case *rotav1.Key_Interval:
		return hrw.Interval(kind.Interval)
	case *rotav1.Key_Enum:
		return hrw.Enum(kind.Enum)
	case *rotav1.Key_Port:
		return hrw.Port(kind.Port)
	case *rotav1.Key_Addr:
		return hrw.Addr(kind.Addr)
	case *rotav1.Key_Subnet:
		return hrw.Subnet(kind.Subnet)
	default:
		return hrw.Key{}, fmt.Errorf("this release does not know keys of kind %T", kind)
	}
}
