package fsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/rota-registry/rota/registry"
)

// entryVersion is the version of the envelope.
const entryVersion = 1

const crcLen = 4

// Entry is a log entry, decoded. Index and Term are Raft's to say.
type Entry struct {
	Clock   registry.Millis // the log clock
	Wall    registry.Millis // the leader's wall time, since 1970
	Command registry.Command
}

// EncodeEntry gives the bytes of a log entry. It refuses one that is longer
// than registry.EntryMax with code Limit.
func EncodeEntry(e Entry) ([]byte, error) {
	b, err := encodeEntry(&e)
	if err != nil {
		return nil, err
	}
	b = appendCRC(b)
	if len(b) > registry.EntryMax {
		return nil, registry.Errorf(registry.Limit, "%T takes %d bytes of log, at most %d are allowed: split it", e.Command, len(b), registry.EntryMax)
	}
	return b, nil
}

// appendHead writes what stands before an entry's body.
func appendHead(b []byte, num uint64, e *Entry) []byte {
	b = append(b, entryVersion)
	b = binary.AppendUvarint(b, num)
	b = binary.AppendUvarint(b, uint64(e.Clock))
	return binary.AppendUvarint(b, uint64(e.Wall))
}

// DecodeEntry is EncodeEntry's inverse. It says what is wrong with bytes that
// are no entry of this release.
func DecodeEntry(b []byte) (Entry, error) {
	b, err := checkCRC(b)
	if err != nil {
		return Entry{}, err
	}
	if len(b) == 0 || b[0] != entryVersion {
		return Entry{}, errors.New("the entry's format version is unknown: written by a newer release")
	}
	var head [3]uint64
	b = b[1:]
	for i := range head {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return Entry{}, errors.New("the entry's head is cut off")
		}
		head[i], b = v, b[n:]
	}
	cmd, err := decodeCommand(head[0], b)
	if err != nil {
		return Entry{}, err
	}
	return Entry{Clock: registry.Millis(head[1]), Wall: registry.Millis(head[2]), Command: cmd}, nil
}

// EncodeCommand gives the bytes of a command that a follower forwards: a log
// entry that the leader has yet to stamp.
func EncodeCommand(cmd registry.Command) ([]byte, error) { return EncodeEntry(Entry{Command: cmd}) }

// DecodeCommand is EncodeCommand's inverse.
func DecodeCommand(b []byte) (registry.Command, error) {
	e, err := DecodeEntry(b)
	return e.Command, err
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func appendCRC(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli()))
}

// ErrChanged is for bytes that are not what was written.
var ErrChanged = errors.New("they were changed after they were written")

// checkCRC gives b without its CRC.
func checkCRC(b []byte) ([]byte, error) {
	if len(b) < crcLen {
		return nil, fmt.Errorf("%d bytes are too few to hold a CRC: %w", len(b), ErrChanged)
	}
	body, sum := b[:len(b)-crcLen], binary.LittleEndian.Uint32(b[len(b)-crcLen:])
	if got := crc32.Checksum(body, castagnoli()); got != sum {
		return nil, fmt.Errorf("CRC32C is %08x, the bytes give %08x: %w", sum, got, ErrChanged)
	}
	return body, nil
}

// CheckEntry compares an entry's bytes with their CRC and reads no further.
func CheckEntry(b []byte) error {
	_, err := checkCRC(b)
	return err
}
