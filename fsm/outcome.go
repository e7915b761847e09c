package fsm

import "github.com/rota-registry/rota/registry"

// Outcome is what applying one command gave: what a proposer waits for, and
// what a leader sends to a follower that forwarded.
type Outcome struct {
	Result registry.Result
	Err    *registry.Error // the registry's own refusal
	At     registry.Position
}

// EncodeOutcome gives an outcome's bytes.
func EncodeOutcome(o Outcome) []byte { return appendCRC(encode(&o, outcome)) }

// DecodeOutcome is EncodeOutcome's inverse.
func DecodeOutcome(b []byte) (Outcome, error) {
	var o Outcome
	b, err := checkCRC(b)
	if err != nil {
		return o, err
	}
	return o, decode(b, &o, outcome)
}

func outcome(w *walk, o *Outcome) {
	number(w, 1, &o.At.Index)
	number(w, 2, &o.At.Term)
	present(w, 3, &o.Err, fault)
	flag(w, 4, &o.Result.Changed)
	list(w, 5, &o.Result.Turns, turnResult)
	list(w, 6, &o.Result.Moves, move)
	number(w, 7, &o.Result.Skipped)
}

func fault(w *walk, e *registry.Error) {
	number(w, 1, &e.Code)
	text(w, 2, &e.Text)
}

func turnResult(w *walk, t *registry.TurnResult) {
	number(w, 1, &t.Epoch)
	number(w, 2, &t.Reason)
	present(w, 3, &t.Err, fault)
	list(w, 4, &t.Answers, answer)
	number(w, 5, &t.Taken.Index)
	number(w, 6, &t.Taken.Term)
	number(w, 7, &t.More) // answers that repeat used to be written each
}

func answer(w *walk, a *registry.Answer) {
	word(w, 1, &a.Node)
	word(w, 2, &a.Topic)
}

func move(w *walk, m *registry.Move) {
	text(w, 1, &m.Pool)
	texts(w, 2, &m.Before)
	texts(w, 3, &m.After)
}
