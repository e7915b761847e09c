package wire

import (
	"connectrpc.com/connect"

	"github.com/rota-registry/rota/registry"
)

// connectCodes is the table of codes, registry's to connect's. Like the codes
// it is append-only, and no two of them share a connect code, so that a program
// that knows gRPC alone can tell them apart. The choices that are not obvious:
//
//   - OutcomeUnknown is Unknown and not Aborted, and Conflict is
//     FailedPrecondition and not Aborted, because general-purpose clients retry
//     Aborted by themselves. SessionUnknown is Aborted, since nothing was done
//     and a new session makes the retry right.
//   - Overloaded is ResourceExhausted, which passes with time; Limit is
//     OutOfRange, which does not.
var connectCodes = [...]connect.Code{
	registry.Internal:       connect.CodeInternal,
	registry.Invalid:        connect.CodeInvalidArgument,
	registry.NotFound:       connect.CodeNotFound,
	registry.Conflict:       connect.CodeFailedPrecondition,
	registry.Unavailable:    connect.CodeUnavailable,
	registry.Deadline:       connect.CodeDeadlineExceeded,
	registry.OutcomeUnknown: connect.CodeUnknown,
	registry.Overloaded:     connect.CodeResourceExhausted,
	registry.Limit:          connect.CodeOutOfRange,
	registry.SessionUnknown: connect.CodeAborted,
	registry.Unimplemented:  connect.CodeUnimplemented,
}

// ToCode gives the connect code of a code; Internal's for one that this release
// does not know.
func ToCode(code registry.Code) connect.Code {
	if int(code) < len(connectCodes) {
		return connectCodes[code]
	}
	return connect.CodeInternal
}

// FromCode gives the code of a connect code, for errors that carry no
// ErrorDetail. Those are made by connect or by something between the client
// and rota, never by a handler of rota: a message that is too large comes back
// as ResourceExhausted, and is Limit here, not Overloaded. What may have hit a
// request on its way is OutcomeUnknown: a proxy says Unavailable of a request
// that it passed on, too.
func FromCode(code connect.Code) registry.Code {
	switch code {
	case connect.CodeInvalidArgument, connect.CodePermissionDenied, connect.CodeUnauthenticated:
		return registry.Invalid
	case connect.CodeNotFound:
		return registry.NotFound
	case connect.CodeFailedPrecondition, connect.CodeAlreadyExists:
		return registry.Conflict
	case connect.CodeResourceExhausted, connect.CodeOutOfRange:
		return registry.Limit
	case connect.CodeUnimplemented:
		return registry.Unimplemented
	case connect.CodeInternal, connect.CodeDataLoss:
		return registry.Internal
	default: // Canceled, Unknown, DeadlineExceeded, Aborted, Unavailable
		return registry.OutcomeUnknown
	}
}
