package server

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/rota-registry/rota/rpc/wire"
)

// strictJSON is protobuf's JSON, except that a field nobody knows is an error:
// a typo must not answer 200. Its answers show fields that are empty or zero,
// as the topic is when nothing is eligible; optional ones that are unset are
// left out. It takes frames for messages.
//
// It is registered under both names that connect has for JSON, or the lenient
// codec would stay in place for clients that send a charset.
type strictJSON struct{ name string }

// jsonNames are connect's names for JSON: what follows "application/".
func jsonNames() []string { return []string{"json", "json; charset=utf-8"} }

func (c strictJSON) Name() string { return c.name }

func (c strictJSON) Marshal(message any) ([]byte, error) { return c.MarshalAppend(nil, message) }

func (c strictJSON) MarshalAppend(dst []byte, message any) ([]byte, error) {
	switch m := message.(type) {
	case *frame:
		return m.appendJSON(dst)
	case proto.Message:
		return appendJSON(dst, m)
	}
	return nil, fmt.Errorf("%T is no protobuf message", message)
}

// appendJSON is how the API shows messages.
func appendJSON(dst []byte, m proto.Message) ([]byte, error) {
	return protojson.MarshalOptions{EmitDefaultValues: true}.MarshalAppend(dst, m)
}

// Unmarshal puts the place and the field's name into its errors.
func (c strictJSON) Unmarshal(data []byte, message any) error {
	m, ok := message.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is no protobuf message", message)
	}
	if len(data) == 0 {
		return errors.New("the body is empty: send a JSON object, {} if there is nothing to say")
	}
	if err := (protojson.UnmarshalOptions{}).Unmarshal(data, m); err != nil {
		return fmt.Errorf("%s: %s", m.ProtoReflect().Descriptor().Name(), jsonFault(err))
	}
	return nil
}

// jsonFault makes protojson's text fit to be shown: without its prefix, whose
// space varies from build to build, and with no more of the body than needed.
func jsonFault(err error) string {
	text := strings.ReplaceAll(err.Error(), "\u00a0", " ")
	return wire.Clip(strings.TrimPrefix(text, "proto: "))
}
