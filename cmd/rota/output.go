package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/rota-registry/rota/registry"
)

// emit prints an answer on stdout: the API's own message as JSON, or the text
// that was made of it for people.
func (a *app) emit(m proto.Message, text string) error {
	if a.format == formatJSON {
		return writeJSON(a.out, m)
	}
	_, err := io.WriteString(a.out, text)
	return err
}

// say tells on stderr what is not data: what was done, what to look at.
func (a *app) say(format string, args ...any) {
	fmt.Fprintf(a.err, "rota: "+format+"\n", args...)
}

// writeJSON prints one document in protobuf's JSON: names in lowerCamelCase,
// 64-bit numbers as strings, bytes in base64. Every field is there, zero or
// not, but for optional ones that are absent. protojson varies its white space
// from build to build on purpose; that is taken out here.
func writeJSON(w io.Writer, m proto.Message) error {
	raw, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(m)
	if err != nil {
		return fmt.Errorf("answer %s cannot be written as JSON: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	var compact, out bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		return fmt.Errorf("answer %s is not JSON: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	if err := json.Indent(&out, compact.Bytes(), "", "  "); err != nil {
		return fmt.Errorf("answer %s is not JSON: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	out.WriteByte('\n')
	_, err = w.Write(out.Bytes())
	return err
}

// table is rows of cells, printed with their columns aligned. It has no lines
// and no colour, so that it can be read, cut and searched alike.
type table struct{ rows [][]string }

// newTable begins a table with its header; without one it is a list of names
// and values.
func newTable(header ...string) *table {
	t := &table{}
	if len(header) > 0 {
		t.rows = append(t.rows, header)
	}
	return t
}

// add appends a row. An empty cell shows as "-", so that columns can be
// counted, and what a terminal would obey shows as its Go escape.
func (t *table) add(cells ...string) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = cell(c)
	}
	t.rows = append(t.rows, row)
}

func cell(s string) string {
	switch {
	case s == "":
		return "-"
	case strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) }) || !utf8.ValidString(s):
		return strconv.Quote(s)
	default:
		return s
	}
}

// String gives the rows with two spaces between columns and none at their end.
func (t *table) String() string {
	var widths []int
	for _, row := range t.rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	var out strings.Builder
	for _, row := range t.rows {
		var line strings.Builder
		for i, c := range row {
			line.WriteString(c)
			line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c)+2))
		}
		out.WriteString(strings.TrimRight(line.String(), " "))
		out.WriteByte('\n')
	}
	return out.String()
}

// few joins the first most names, and says how many more there are and which
// command shows them.
func few[T ~string](names []T, most int, all string) string {
	texts := make([]string, 0, most)
	for _, n := range names[:min(len(names), most)] {
		texts = append(texts, string(n))
	}
	joined := strings.Join(texts, ", ")
	if more := len(names) - most; more > 0 {
		joined += fmt.Sprintf(" and %d more: see `%s`", more, all)
	}
	return joined
}

// without gives the names of list that are not in other.
func without[T comparable](list, other []T) []T {
	return slices.DeleteFunc(slices.Clone(list), func(n T) bool { return slices.Contains(other, n) })
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func decimal[T ~int | ~uint32 | ~uint64](n T) string { return fmt.Sprint(n) }

// wallTime shows a leader's wall time, in UTC whatever the machine's zone, so
// that output can be compared; empty if it was never told.
func wallTime(ms registry.Millis) string {
	if ms == 0 {
		return ""
	}
	return time.UnixMilli(int64(ms)).UTC().Format(time.RFC3339)
}
