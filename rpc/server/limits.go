package server

import (
	"time"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/gen/rota/v1/rotav1connect"
)

// The bounds that hold before a request is decoded. Those of what it says are
// in package registry.
const (
	inFlightMax      = 8192
	streamsMax       = 100 // concurrent requests of one HTTP/2 connection
	headerBytesMax   = 16 << 10
	headerTimeout    = 5 * time.Second
	compressBytesMin = 4 << 10
	envelopeBytes    = 5 // that gRPC, and Connect's streams, put before a message
	// encodedMembersMax bounds the encodings that watchers share, in members: a
	// pool of 5,000 takes 0.4 MB in one form, and 0.8 MB in JSON.
	encodedMembersMax = 16_384

	// A request may wait for its whole deadline, and net/http cancels one whose
	// read deadline passes meanwhile: hence the margin.
	readTimeout  = time.Duration(registry.DeadlineMax)*time.Millisecond + 5*time.Second
	writeTimeout = 2 * readTimeout
	idleTimeout  = 2 * time.Minute
	// pingAfter a silence, an HTTP/2 client has pingTimeout to answer a ping.
	pingAfter   = 30 * time.Second
	pingTimeout = 15 * time.Second
	// pingMin is how often a client of gRPC may ping.
	pingMin = 5 * time.Second
	// A stream is written in pieces of pieceBytes; a peer that takes none of one
	// for pieceTimeout is cut off.
	pieceBytes   = 32 << 10
	pieceTimeout = 10 * time.Second
	// shutdownGrace is how long handlers have to return once they are cut off.
	shutdownGrace = time.Second
)

// bodyMax is how many bytes the message of a request to procedure may have.
func bodyMax(procedure string) int {
	switch procedure {
	case rotav1connect.RegistryServiceHrwTopicsProcedure,
		rotav1connect.RegistryServiceRrTopicsProcedure,
		rotav1connect.RegistryServiceRrBatchProcedure,
		rotav1connect.ReplicaServiceForwardProcedure,
		rotav1connect.ReplicaServiceSeesNodesProcedure,
		rotav1connect.ReplicaServiceNodesBrokeProcedure:
		return registry.BatchBodyMax
	}
	return registry.BodyMax
}
