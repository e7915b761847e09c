package client

import "time"

// stock is turns that were taken ahead. It decides what is handed out and how
// many more are to be taken, and is a function of its events, as the combiner is:
// it is told the time, since any one moment, and does nothing by itself.
//
// What is in it is handed out in the order of the rotation, each once, unless it
// has grown too old. There are never more than most.
type stock struct {
	most   int
	ageMax time.Duration

	lots []lot // oldest first; none is empty
	left int   // in all lots
	// aim is how many there are to be after a refill. Below half of it the
	// next one is due.
	aim int
	// began is when the last refill began, and used how many were handed out
	// since: the pace.
	began time.Duration
	used  int
}

// lot is what one refill brought: answers next to end-1 of a turn.
type lot struct {
	turn      *turnAnswer
	next, end int
	arrived   time.Duration
}

func newStock(most int, ageMax time.Duration) stock {
	return stock{most: most, ageMax: ageMax, aim: most}
}

// take gives the next answer, as number i of a turn.
func (s *stock) take(now time.Duration) (turn *turnAnswer, i int, ok bool) {
	for len(s.lots) > 0 {
		l := &s.lots[0]
		if !s.good(l, now) {
			s.left -= l.end - l.next
			s.lots = s.lots[1:]
			continue
		}
		turn, i = l.turn, l.next
		l.next++
		s.left--
		s.used++
		if l.next == l.end {
			s.lots = s.lots[1:]
		}
		return turn, i, true
	}
	return nil, 0, false
}

// good reports whether a lot may still be handed out. Its age alone says so
// here; who watches the pool knows more: whether the node of the next answer is
// still eligible.
func (s *stock) good(l *lot, now time.Duration) bool { return now-l.arrived <= s.ageMax }

// due gives how many are to be taken now, 0 for none. Dry says that a caller has
// found nothing, and waiting how many others are known to wait. It is asked while
// no refill is under way.
//
// The first refill takes as many as may be, and the others what is used, at the
// pace since then, in half of the time that they keep: nothing ahead for who
// would let it grow too old. So who asks seldom does not skip turn after turn: it
// would see the same few nodes, if their number divides that of the turns.
func (s *stock) due(now time.Duration, dry bool, waiting int) int {
	if s.left > s.aim/2 {
		return 0
	}
	if took := now - s.began; s.used > 0 && took > 0 {
		pace := float64(s.used) / float64(took)
		s.aim = int(min(float64(s.most), pace*float64(s.ageMax/2)))
	}
	n := s.aim - s.left
	if dry {
		n = min(max(s.aim, waiting, 1), s.most)
	}
	if n <= 0 {
		return 0
	}
	s.began, s.used = now, 0
	return n
}

// add takes in what a refill brought, n answers of a turn from one on.
func (s *stock) add(now time.Duration, turn *turnAnswer, from, n int) {
	s.lots = append(s.lots, lot{turn: turn, next: from, end: from + n, arrived: now})
	s.left += n
}
