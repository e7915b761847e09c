package server

import "time"

// Hurry lets a test see the deadlines of connections pass. It is called before
// Serve.
func (s *Server) Hurry(read, write, piece time.Duration) {
	s.http.ReadTimeout, s.http.WriteTimeout, s.pieceTimeout = read, write, piece
}
