package upstreamtest

import (
	"bytes"
	"fmt"
)

// FlipByte turns one byte over: the length is right, the digest is not. A
// negative offset counts from the end, one beyond the end means the last byte.
func FlipByte(offset int64) Lie {
	return Lie{Name: fmt.Sprintf("flip:%d", offset), content: func(c *content, _ int) {
		at := offset
		if at < 0 {
			at += c.body.Size()
		}
		c.body = flipped{c.body, min(max(at, 0), c.body.Size()-1)}
	}}
}

// Resize sends by bytes more (zeros) or, if negative, less than the index
// states, and Content-Length agrees with what is sent. Together with
// WithoutLength there is no Content-Length.
func Resize(by int64) Lie {
	return Lie{Name: fmt.Sprintf("resize:%+d", by), content: func(c *content, _ int) {
		c.body = resized{c.body, max(0, c.body.Size()+by)}
	}}
}

// IgnoreRange answers a Range request with 200 and the whole.
func IgnoreRange() Lie {
	return Lie{Name: "ignore-range", applies: hasRange, content: func(c *content, _ int) { c.ranges = false }}
}

// ChangeETag gives another ETag each time. If honourIfRange, a resume with the
// old one gets 200 and the whole, as it should; else the range is sent
// nevertheless, under the new ETag.
func ChangeETag(honourIfRange bool) Lie {
	return Lie{Name: fmt.Sprintf("change-etag:%t", honourIfRange), content: func(c *content, number int) {
		c.etag = fmt.Sprintf(`"changed-%d"`, number)
		c.ignoreIfRange = !honourIfRange
	}}
}

// NoETag leaves the ETag out.
func NoETag() Lie {
	return Lie{Name: "no-etag", content: func(c *content, _ int) { c.etag = "" }}
}

// WrongType states another Content-Type: application/octet-stream for a page,
// text/html for a wheel.
func WrongType(mediaType string) Lie {
	return Lie{Name: "type:" + mediaType, content: func(c *content, _ int) { c.mediaType = mediaType }}
}

// Garbage sends bytes that mean nothing, under the right Content-Type.
func Garbage() Lie {
	return Lie{Name: "garbage", content: func(c *content, number int) {
		c.put(append([]byte(`{"files": [}`), filler(uint64(number), "garbage", 4096)...), `"garbage"`)
	}}
}

// Half sends the first half of the body in good order: JSON that ends in the middle.
func Half() Lie {
	return Lie{Name: "half", content: func(c *content, _ int) {
		c.body = resized{c.body, c.body.Size() / 2}
		c.etag, c.noConditions = `"half"`, true
	}}
}

// put replaces the bytes, under an ETag of its own, so that the lie is not
// hidden by a 304 and its ETag does not stand for the truth later.
func (c *content) put(b []byte, etag string) {
	c.body, c.etag, c.noConditions = bytes.NewReader(b), etag, true
}
