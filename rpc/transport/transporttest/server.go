// Package transporttest is an HTTP/2 server that turns every request away with
// one frame, in the ways that decide whether a request may be sent again and
// that net/http's server cannot be told to. Tests of package transport and of
// those that call through it use it, nothing else does.
//
// It knows as much of HTTP/2 as a client needs to send a request. The framer of
// golang.org/x/net lost: it is a module more for eighty lines.
package transporttest

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// Answer is what every request gets.
type Answer uint8

const (
	// ProtocolError resets the stream: it may have been processed.
	ProtocolError Answer = iota
	// RefusedStream resets the stream and says that it was not processed.
	RefusedStream
	// GoAway ends the connection and says that no stream was processed.
	GoAway
)

// Server answers all requests alike and counts them. It is safe for many
// goroutines.
type Server struct {
	answer   Answer
	requests atomic.Int64
	conns    sync.WaitGroup
}

// New makes a server, without an address: connections are made with Dial, or
// handed to Serve.
func New(answer Answer) *Server { return &Server{answer: answer} }

// Dial makes a connection in memory to the server, for any address.
func (s *Server) Dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	s.conns.Go(func() { s.Serve(far) })
	return near, nil
}

// Wait returns once all connections that Dial made are closed by the client.
func (s *Server) Wait() { s.conns.Wait() }

// Requests is how many have come so far.
func (s *Server) Requests() int { return int(s.requests.Load()) }

// Serve answers on a connection until that breaks, and closes it. The answers
// are written by another goroutine: both sides of a pipe may write at once.
func (s *Server) Serve(conn net.Conn) {
	out := make(chan []byte, 16)
	var writer sync.WaitGroup
	writer.Go(func() {
		for b := range out {
			// What cannot be written any more is dropped; reading fails, too.
			_, _ = conn.Write(b)
		}
	})
	s.read(bufio.NewReader(conn), out)
	_ = conn.Close()
	close(out)
	writer.Wait()
}

// HTTP/2 frames and error codes, RFC 9113 sections 6 and 7.
const (
	preface        = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	frameHeadBytes = 9
	frameHeaders   = 1
	frameRSTStream = 3
	frameSettings  = 4
	frameGoAway    = 7
	noError        = 0
	protocolError  = 1
	refusedStream  = 7
)

func (s *Server) read(in *bufio.Reader, out chan<- []byte) {
	if _, err := in.Discard(len(preface)); err != nil {
		return
	}
	out <- frame(frameSettings, 0)
	for {
		kind, stream, err := readFrame(in)
		if err != nil {
			return
		}
		if kind == frameHeaders {
			s.requests.Add(1)
			out <- s.answer.to(stream)
		}
	}
}

func (a Answer) to(stream uint32) []byte {
	switch a {
	case RefusedStream:
		return frame(frameRSTStream, stream, refusedStream)
	case GoAway: // the last stream that may have been processed is 0: none
		return frame(frameGoAway, 0, 0, noError)
	default:
		return frame(frameRSTStream, stream, protocolError)
	}
}

// frame is one of 32-bit words, without flags.
func frame(kind byte, stream uint32, words ...uint32) []byte {
	b := []byte{0, 0, byte(4 * len(words)), kind, 0}
	b = binary.BigEndian.AppendUint32(b, stream)
	for _, w := range words {
		b = binary.BigEndian.AppendUint32(b, w)
	}
	return b
}

// readFrame reads a frame and drops what is in it.
func readFrame(in *bufio.Reader) (kind byte, stream uint32, err error) {
	var head [frameHeadBytes]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return 0, 0, err
	}
	length := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
	_, err = in.Discard(length)
	return head[3], binary.BigEndian.Uint32(head[5:]), err
}
