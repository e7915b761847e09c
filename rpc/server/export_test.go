package server

import "time"

// Hurry lets a test see the deadlines of connections pass. It is called before
// Serve.
func (s *Server) Hurry(read, write, piece time.Duration) {
	s.http.ReadTimeout, s.http.WriteTimeout, s.pieceTimeout = read, write, piece
}

// LeaveRoomForAgents lets a test have a replica that only has room for n more
// agents' connections, until it gives the room back.
func (s *Server) LeaveRoomForAgents(n int) (giveBack func()) {
	taken := cap(s.attended) - n
	for range taken {
		s.attended <- struct{}{}
	}
	return func() {
		for range taken {
			<-s.attended
		}
	}
}
