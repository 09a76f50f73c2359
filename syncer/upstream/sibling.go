package upstream

import "net/http"

// Sibling is an index at another address that is read by the same rules and
// shares this one's bounds: one large page in memory between the two. header is
// sent with each request for a page; it must not change any more.
func (x *Index) Sibling(address string, header http.Header) (*Index, error) {
	s, err := New(address, x.client, x.maxPage)
	if err != nil {
		return nil, err
	}
	s.large, s.header = x.large, header
	return s, nil
}
