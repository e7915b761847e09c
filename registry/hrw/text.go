package hrw

// StringValue gives the value of a string's key, as the API carries it: only
// strings hash differently in the two hashes. For any other key ok is false,
// and its digest in one hash is its digest in the other.
func (k Key) StringValue() (value string, ok bool) {
	return k.text, k.tag == tagString
}
