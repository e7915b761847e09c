package fsm_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/rota-registry/rota/registry"
)

// commands has one of each command. TestEveryCommand holds it against the
// source of package registry.
func commands() []registry.Command {
	return []registry.Command{
		registry.TermStart{},
		registry.FoundCluster{},
		registry.SetReplica{},
		registry.RegisterPool{},
		registry.UnregisterPool{},
		registry.RebalancePools{},
		registry.RoundRobin{},
		registry.SetCursor{},
		registry.DeleteCursor{},
		registry.ForgetCursors{},
		registry.SetSettings{},
		registry.JoinNode{},
		registry.LeaveNode{},
		registry.AddNode{},
		registry.DrainNode{},
		registry.ForgetNode{},
		registry.ReportLiveness{},
		registry.OpenSession{},
	}
}

// filler chooses the values of a type that it visits by reflection. So a field
// that a struct gains is in every test at once, and fails it until the format
// has the field too.
type filler interface {
	number(bits int) uint64
	text() string
	// length is that of a slice; a pointer is nil when it is 0.
	length() int
	flag() bool
	// leaves tells which fields stay zero, as Type.Field.
	leaves(field string) bool
}

func fill(f filler, v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(f.flag())
	case reflect.String:
		v.SetString(f.text())
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(f.number(64)))
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(f.number(v.Type().Bits()))
	case reflect.Pointer:
		if f.length() > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(f, v.Elem())
		}
	case reflect.Slice:
		// An empty slice comes back as nil, which is why none is made here.
		for range f.length() {
			item := reflect.New(v.Type().Elem()).Elem()
			fill(f, item)
			v.Set(reflect.Append(v, item))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if !f.leaves(v.Type().Name() + "." + v.Type().Field(i).Name) {
				fill(f, v.Field(i))
			}
		}
	default:
		panic(fmt.Sprintf("a field of kind %s: say here how it is filled", v.Kind()))
	}
}

// filledCommand gives a command of like's type.
func filledCommand(f filler, like registry.Command) registry.Command {
	v := reflect.New(reflect.TypeOf(like)).Elem()
	fill(f, v)
	return v.Interface().(registry.Command)
}

func filled[T any](f filler) T {
	var v T
	fill(f, reflect.ValueOf(&v).Elem())
	return v
}

// random draws any value at all, valid or not: the format carries what it is
// given.
type random struct{ *rapid.T }

func (r random) number(bits int) uint64 {
	n := rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 3), rapid.Just(^uint64(0))).Draw(r.T, "number")
	return n & (1<<bits - 1)
}

func (r random) text() string {
	return rapid.OneOf(rapid.String(), rapid.Just("")).Draw(r.T, "text") +
		string(rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(r.T, "bytes"))
}

func (r random) length() int { return rapid.IntRange(0, 3).Draw(r.T, "length") }
func (r random) flag() bool  { return rapid.Bool().Draw(r.T, "flag") }

func (r random) leaves(string) bool { return false }

// steady gives every field a value that is not zero, and not the one of its
// neighbours: the same ones each time.
type steady struct {
	n uint64
	// without are fields that are left out.
	without []string
}

func (s *steady) number(bits int) uint64 {
	s.n++
	if bits == 8 {
		return s.n % 200
	}
	return s.n * 3
}

func (s *steady) text() string {
	s.n++
	return fmt.Sprintf("s%d", s.n)
}

func (s *steady) length() int { return 2 }
func (s *steady) flag() bool  { return true }

func (s *steady) leaves(field string) bool { return slices.Contains(s.without, field) }

// first fills as steady does, and only the fields that were there when the
// log's first entry was committed: what has none of the others is written as it
// was then.
func first() *steady {
	return &steady{without: append(second().without, "Turn.Request", "TurnResult.Taken", "Snapshot.Sessions")}
}

// second is first for when sessions had come and answers that repeat were still
// written each.
func second() *steady { return &steady{without: append(third().without, "TurnResult.More")} }

// third is first for when snapshots had no chain.
func third() *steady { return &steady{without: []string{"Chain.Hash", "Chain.From"}} }

// TestSteadyFillsEveryField: a golden with a zero in it would not show whether
// the format has the field.
func TestSteadyFillsEveryField(t *testing.T) {
	for _, like := range commands() {
		cmd := reflect.ValueOf(filledCommand(&steady{}, like))
		for i := range cmd.NumField() {
			if cmd.Field(i).IsZero() {
				t.Errorf("%T: %s is zero", like, cmd.Type().Field(i).Name)
			}
		}
	}
}
