package server

import "time"

// Hurry lets a test see the deadlines of connections pass. It is called before
// Serve.
func (s *Server) Hurry(read, write, piece time.Duration) {
	s.http.ReadTimeout, s.http.WriteTimeout, s.pieceTimeout = read, write, piece
}

// LeaveRoomForAgents lets a test have a replica that only has room for n more
// agents' connections, until it gives the room back.
func (s *Server) LeaveRoomForAgents(n int) (giveBack func()) { return leaveRoom(s.attended, n) }

// LeaveRoomForWatchers is the same of watchers.
func (s *Server) LeaveRoomForWatchers(n int) (giveBack func()) { return leaveRoom(s.watches, n) }

func leaveRoom(slots chan struct{}, n int) (giveBack func()) {
	taken := cap(slots) - n
	for range taken {
		slots <- struct{}{}
	}
	return func() {
		for range taken {
			<-slots
		}
	}
}
