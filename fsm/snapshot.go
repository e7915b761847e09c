package fsm

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"
	"github.com/rota-registry/rota/registry"
)

// A snapshot is a magic number and then sections, each
//
//	byte    kind
//	uint32  length of the body, little-endian
//	bytes   body
//	uint32  CRC32C of all of the above, little-endian
//
// in the order meta, replicas, nodes, pools, sessions, end; one section a
// record, sorted as registry.Snapshot is. A session is followed by the answers
// that it keeps, each a section of its own, for all of them could be too long
// for one. Snapshot → restore → snapshot is the same bytes.
const snapshotMagic = "ROTASNP1"

// The kinds of sections: append only.
const (
	sectionMeta    = 1
	sectionReplica = 2
	sectionNode    = 3
	sectionPool    = 4
	sectionEnd     = 5
	sectionSession = 6
	sectionStored  = 7 // an answer of the session before it
)

// sectionMax bounds what a broken length can make a reader allocate: a pool
// with all members and all cursors takes less.
const sectionMax = 64 << 20

// snapshot is the state of one moment on its way to the disk.
type snapshot struct {
	state *registry.Frozen
	at    registry.Position
}

// Persist writes the snapshot to Raft's sink.
func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	if err := WriteSnapshot(sink, s.state.Snapshot(), s.at); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// Release has nothing to give back.
func (s *snapshot) Release() {}

// meta is the first section.
type meta struct {
	At        registry.Position
	ClusterID registry.ClusterID
	Clock     registry.Millis
	Settings  registry.Settings
}

// WriteSnapshot writes a state and the position it stands at.
func WriteSnapshot(to io.Writer, s registry.Snapshot, at registry.Position) error {
	w := sectionWriter{w: bufio.NewWriter(to)}
	w.raw([]byte(snapshotMagic))
	head := meta{At: at, ClusterID: s.ClusterID, Clock: s.Clock, Settings: s.Settings}
	w.section(sectionMeta, encode(&head, metaFields))
	for i := range s.Replicas {
		w.section(sectionReplica, encode(&s.Replicas[i], replica))
	}
	for i := range s.Nodes {
		w.section(sectionNode, encode(&s.Nodes[i], node))
	}
	for i := range s.Pools {
		w.section(sectionPool, encode(&s.Pools[i], pool))
	}
	for i := range s.Sessions {
		w.section(sectionSession, encode(&s.Sessions[i], session))
		for j := range s.Sessions[i].Stored {
			w.section(sectionStored, encode(&s.Sessions[i].Stored[j], stored))
		}
	}
	w.section(sectionEnd, nil)
	if w.err != nil {
		return w.err
	}
	return w.w.Flush()
}

type sectionWriter struct {
	w   *bufio.Writer
	err error
}

func (w *sectionWriter) raw(b []byte) {
	if w.err == nil {
		_, w.err = w.w.Write(b)
	}
}

func (w *sectionWriter) section(kind byte, body []byte) {
	if len(body) > sectionMax && w.err == nil {
		w.err = fmt.Errorf("snapshot: a section of kind %d has %d bytes, at most %d are allowed", kind, len(body), sectionMax)
	}
	b := binary.LittleEndian.AppendUint32([]byte{kind}, uint32(len(body)))
	w.raw(appendCRC(append(b, body...)))
}

// ReadSnapshot is WriteSnapshot's inverse; it reads to the end.
func ReadSnapshot(from io.Reader) (s registry.Snapshot, at registry.Position, err error) {
	r := bufio.NewReader(from)
	magic := make([]byte, len(snapshotMagic))
	if _, err := io.ReadFull(r, magic); err != nil || string(magic) != snapshotMagic {
		return s, at, errors.New("snapshot: it does not begin as one of this release does")
	}
	last := byte(0)
	for last != sectionEnd {
		kind, body, err := readSection(r)
		if err != nil {
			return s, at, fmt.Errorf("snapshot: %w", err)
		}
		if !follows(kind, last) {
			return s, at, fmt.Errorf("snapshot: section of kind %d after one of kind %d", kind, last)
		}
		if err := addSection(&s, &at, kind, body); err != nil {
			return s, at, fmt.Errorf("snapshot: section of kind %d: %w", kind, err)
		}
		last = kind
	}
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
		return s, at, errors.New("snapshot: bytes follow its end")
	}
	return s, at, nil
}

// follows reports whether a section of a kind may stand behind one of the kind
// last, which is 0 before the first.
func follows(kind, last byte) bool {
	switch {
	case last == 0 || kind == sectionMeta:
		return last == 0 && kind == sectionMeta
	case kind == sectionStored:
		return last == sectionSession || last == sectionStored
	case last == sectionSession || last == sectionStored:
		return kind == sectionSession || kind == sectionEnd
	}
	return kind >= last
}

func readSection(r io.Reader) (kind byte, body []byte, err error) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(r, head); err != nil {
		return 0, nil, fmt.Errorf("it is cut off: %w", err)
	}
	n := binary.LittleEndian.Uint32(head[1:])
	if n > sectionMax {
		return 0, nil, fmt.Errorf("a section of kind %d claims %d bytes", head[0], n)
	}
	// Grow as bytes come, so that a broken length allocates no more than there is.
	section, err := io.ReadAll(io.LimitReader(r, int64(n)+crcLen))
	if err != nil {
		return 0, nil, err
	}
	if len(section) != int(n)+crcLen {
		return 0, nil, fmt.Errorf("it is cut off: %w", io.ErrUnexpectedEOF)
	}
	whole, err := checkCRC(append(head, section...))
	if err != nil {
		return 0, nil, err
	}
	return head[0], whole[5:], nil
}

func addSection(s *registry.Snapshot, at *registry.Position, kind byte, body []byte) error {
	switch kind {
	case sectionMeta:
		var m meta
		err := decode(body, &m, metaFields)
		*at, s.ClusterID, s.Clock, s.Settings = m.At, m.ClusterID, m.Clock, m.Settings
		return err
	case sectionReplica:
		return addRecord(&s.Replicas, body, replica)
	case sectionNode:
		return addRecord(&s.Nodes, body, node)
	case sectionPool:
		return addRecord(&s.Pools, body, pool)
	case sectionSession:
		return addRecord(&s.Sessions, body, session)
	case sectionStored:
		return addRecord(&s.Sessions[len(s.Sessions)-1].Stored, body, stored)
	case sectionEnd:
		if len(body) > 0 {
			return errors.New("it is not empty")
		}
		return nil
	}
	return errors.New("the kind is unknown: written by a newer release")
}

func addRecord[T any](to *[]T, body []byte, visit func(*walk, *T)) error {
	var record T
	err := decode(body, &record, visit)
	*to = append(*to, record)
	return err
}

func metaFields(w *walk, m *meta) {
	number(w, 1, &m.At.Index)
	number(w, 2, &m.At.Term)
	text(w, 3, &m.ClusterID)
	number(w, 4, &m.Clock)
	message(w, 5, &m.Settings, settings)
}

func settings(w *walk, s *registry.Settings) {
	text(w, 1, &s.NodeTopicPrefix)
	text(w, 2, &s.NodeIDTopicPrefix)
	text(w, 3, &s.PoolTopicPrefix)
	text(w, 4, &s.LogTopicPrefix)
	text(w, 5, &s.TopicSeparator)
	number(w, 6, &s.ManagerIsLogger)
	flag(w, 7, &s.EnableRoundRobinLogging)
	number(w, 8, &s.Assignment)
	texts(w, 9, &s.NodeTypes)
	number(w, 10, &s.FailedRetention)
	number(w, 11, &s.LeftRetention)
}

func node(w *walk, n *registry.Node) {
	text(w, 1, &n.Name)
	text(w, 2, &n.Type)
	text(w, 3, &n.Address)
	text(w, 4, &n.Boot)
	text(w, 5, &n.Replaced)
	number(w, 6, &n.State)
	flag(w, 7, &n.Draining)
	text(w, 8, &n.DrainReason)
	flag(w, 9, &n.Static)
	number(w, 10, &n.Since)
	number(w, 11, &n.SinceClock)
	number(w, 12, &n.SinceWall)
	number(w, 13, &n.Joined)
	text(w, 14, &n.Reason)
	text(w, 15, &n.By)
}

func pool(w *walk, p *registry.PoolSnapshot) {
	message(w, 1, &p.Spec, spec)
	number(w, 2, &p.Epoch)
	list(w, 3, &p.Members, member)
	list(w, 4, &p.Cursors, cursor)
}

func member(w *walk, m *registry.MemberSnapshot) {
	text(w, 1, &m.Node)
	text(w, 2, &m.Alias)
	number(w, 3, &m.SiteID)
}

func cursor(w *walk, c *registry.CursorSnapshot) {
	text(w, 1, &c.Key)
	number(w, 2, &c.Next)
	number(w, 3, &c.Used)
}

func session(w *walk, s *registry.SessionSnapshot) {
	text(w, 1, &s.ID)
	number(w, 2, &s.Used)
	number(w, 3, &s.FirstUnacked)
}

func stored(w *walk, t *registry.StoredTurn) {
	number(w, 1, &t.Serial)
	message(w, 2, &t.Result, turnResult)
}
