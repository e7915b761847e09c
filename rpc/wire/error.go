package wire

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
)

// ToError puts an error onto the wire: the connect code by the table, the text
// as it is, and the code's own name in an ErrorDetail, from which FromError
// restores it exactly. A context's error becomes Deadline, or for a caller that
// went away Unavailable: whoever knows that something may have been done says
// OutcomeUnknown itself. Anything else is Internal.
func ToError(err error) *connect.Error {
	code, text := registry.Internal, err.Error()
	if coded, ok := errors.AsType[*registry.Error](err); ok {
		code = coded.Code
	} else if errors.Is(err, context.DeadlineExceeded) {
		code, text = registry.Deadline, "the request's deadline passed: ask again with a longer one"
	} else if errors.Is(err, context.Canceled) {
		code, text = registry.Unavailable, "the request was cancelled"
	}
	wired := connect.NewError(ToCode(code), errors.New(text))
	detail, err := connect.NewErrorDetail(&rotav1.ErrorDetail{Code: code.String()})
	if err == nil {
		wired.AddDetail(detail)
	}
	return wired
}

// FromError gives the error that the other side answered with. It reports false
// for an error that arose on this side or on the way (no connection, a deadline
// that passed here, an answer that is none of rota's): what that means for the
// request only the caller can say.
func FromError(err error) (*registry.Error, bool) {
	wired, ok := errors.AsType[*connect.Error](err)
	if !ok || !connect.IsWireError(err) {
		return nil, false
	}
	for _, detail := range wired.Details() {
		value, err := detail.Value()
		if err != nil {
			continue
		}
		if d, ok := value.(*rotav1.ErrorDetail); ok {
			return &registry.Error{Code: registry.CodeNamed(d.GetCode()), Text: wired.Message()}, true
		}
	}
	return &registry.Error{Code: FromCode(wired.Code()), Text: wired.Message()}, true
}

// HasDetail tells the errors that rota's server made from those of connect and
// of whatever else stands in the way: an unavailable without the detail comes
// from a proxy that may have passed the request on.
func HasDetail(err error) bool {
	wired, ok := errors.AsType[*connect.Error](err)
	if !ok {
		return false
	}
	for _, detail := range wired.Details() {
		value, err := detail.Value()
		if d, ok := value.(*rotav1.ErrorDetail); err == nil && ok && d.GetCode() != "" {
			return true
		}
	}
	return false
}
