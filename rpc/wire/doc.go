// Package wire says how the words of package registry look on the API: which
// message a pool is, which connect code an error. Functions named To… go onto
// the wire, functions named From… come from it; the latter refuse, with an
// invalid or limit error that names the field, what no rota could have meant.
//
// rpc/server, rpc/client and rpc/replicas share it, so that both ends of a
// connection agree because they run the same code. It holds no state, does no
// I/O and knows nothing of HTTP. Whether a name or a topic is a good one is not
// decided here but by package registry.
package wire

import "unicode/utf8"

// Clip keeps an error short when its subject is long: at most 80 bytes of it,
// cut between characters.
func Clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	end := most
	for end > most-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}
