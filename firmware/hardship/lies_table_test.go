package hardship

import "strings"

// outcome is what a client gets of that which a lie is about.
type outcome int

const (
	truthful outcome = iota // the truth, whole
	partly                  // a page without what was hidden or cannot be verified
	believed                // a page with digests that nobody can tell from true ones
	nothing                 // an error, or an answer that is broken off
	perhaps                 // the truth or nothing: it depends on how much was sent before
)

func (o outcome) String() string {
	return [...]string{"the truth", "a part of the truth", "what was told", "nothing", "the truth or nothing"}[o]
}

// trial is a lie about one kind of thing, and what must come of it.
type trial struct {
	lie   string // as upstreamtest.ParseLie reads it
	on    string // page, file, metadata
	first string // a lie that is told once before, so that this one has its occasion
	// once and forever are what the first client gets where the box has not
	// seen the project before and the lie is told once, or each time.
	once, forever outcome
	// status is the cause of the problem, or a part of its text, that the
	// status names where the lie is told each time; "" where there is none.
	status string
	// A box that holds the project gives out the truth, whatever is told of the
	// page, save for what hides says. Its status is that of heldStatus.
	hides      bool
	heldStatus string
}

// waits tells whether the lie is silence.
func (r trial) waits() bool { return strings.HasPrefix(r.lie, "stall:") || r.lie == "never-answer" }

// These give a lie about ranges its occasion: the first answer breaks off.
const (
	cutFile     = "cut:70000"
	cutMetadata = "cut:100"
)

// keptBack is what the status says where the guard holds removals back.
const keptBack = "--accept-removals"

// trials covers every lie of upstreamtest.Catalogue, on everything where it can
// make a difference.
var trials = []trial{
	// Pages. One that has not changed is a 304, which has no body to lie about.
	{lie: "cut:300", on: "page", once: nothing, forever: nothing, status: "cut"},
	{lie: "reset:300", on: "page", once: nothing, forever: nothing, status: "cut"},
	{lie: "cut-connection:300", on: "page", once: nothing, forever: nothing, status: "cut"},
	{lie: "hang-up", on: "page", once: nothing, forever: nothing, status: "cut", heldStatus: "cut"},
	{lie: "stall:300", on: "page", once: nothing, forever: nothing, status: "stalled"},
	{lie: "never-answer", on: "page", once: nothing, forever: nothing, status: "stalled", heldStatus: "stalled"},
	{lie: "endless", on: "page", once: nothing, forever: nothing, status: "lie"},
	{lie: "end:300", on: "page", once: nothing, forever: nothing, status: "cut"},
	{lie: "end-chunked:300", on: "page", once: nothing, forever: nothing, status: "cut"},
	{lie: "no-length", on: "page", once: truthful, forever: truthful},
	{lie: "status:404", on: "page", once: nothing, forever: nothing, status: "gone", heldStatus: keptBack},
	{lie: "status:429,1", on: "page", once: nothing, forever: nothing, status: "busy", heldStatus: "busy"},
	{lie: "status:500", on: "page", once: nothing, forever: nothing, status: "broken", heldStatus: "broken"},
	{lie: "status:502", on: "page", once: nothing, forever: nothing, status: "broken", heldStatus: "broken"},
	{lie: "status:503,1", on: "page", once: nothing, forever: nothing, status: "busy", heldStatus: "busy"},
	{lie: "login-page", on: "page", once: nothing, forever: nothing, status: "lie", heldStatus: "lie"},
	{lie: "redirect-loop", on: "page", once: truthful, forever: nothing, status: "lie", heldStatus: "lie"},
	{lie: "redirect:file:///etc/passwd", on: "page", once: nothing, forever: nothing, status: "lie", heldStatus: "lie"},
	{lie: "gzip-bomb:70", on: "page", once: nothing, forever: nothing, status: "lie", heldStatus: "lie"},
	{lie: "flip:300", on: "page", once: partly, forever: partly, status: "left out of its page"},
	{lie: "resize:7", on: "page", once: nothing, forever: nothing, status: "lie"},
	{lie: "resize:-300", on: "page", once: nothing, forever: nothing, status: "cut"},
	{lie: "change-etag:true", on: "page", once: truthful, forever: truthful},
	{lie: "change-etag:false", on: "page", once: truthful, forever: truthful},
	{lie: "no-etag", on: "page", once: truthful, forever: truthful},
	{lie: "type:application/octet-stream", on: "page", once: nothing, forever: nothing, status: "lie"},
	{lie: "garbage", on: "page", once: nothing, forever: nothing, status: "lie", heldStatus: "lie"},
	{lie: "half", on: "page", once: nothing, forever: nothing, status: "cut", heldStatus: "cut"},
	{lie: "quarantined", on: "page", once: partly, forever: partly, status: "quarantined", hides: true, heldStatus: "quarantined"},
	{lie: "empty", on: "page", once: partly, forever: partly, status: "nothing on the page matches", heldStatus: keptBack},
	{lie: "stale:1", on: "page", once: partly, forever: partly, heldStatus: "lie"},
	{lie: "api-version:2.0", on: "page", once: nothing, forever: nothing, status: "lie", heldStatus: "lie"},
	{lie: "html-as-json", on: "page", once: nothing, forever: nothing, status: "lie", heldStatus: "lie"},
	{lie: "wrong-hashes", on: "page", once: believed, forever: believed, status: "lie", heldStatus: "ours is kept"},
	{lie: "wrong-metadata-hashes", on: "page", once: truthful, forever: truthful, status: "lie", heldStatus: "ours is kept"},
	{lie: "wrong-sizes:5", on: "page", once: truthful, forever: truthful, status: "lie"},
	{lie: "files-on:http://127.0.0.1:9", on: "page", once: truthful, forever: truthful, status: "unreachable"},
	{lie: "files-on:javascript:alert(1)//", on: "page", once: partly, forever: partly, status: "nothing on the page matches", heldStatus: keptBack},
	{lie: "hostile", on: "page", once: truthful, forever: truthful, status: "left out of its page", heldStatus: "left out of its page"},
	// Files and core metadata. The index states the length of a file, and none
	// of metadata; metadata is given out only when its digest is known.
	{lie: "cut:70000", on: "file", once: truthful, forever: truthful},
	{lie: "cut:100", on: "metadata", once: truthful, forever: truthful},
	{lie: "reset:70000", on: "file", once: truthful, forever: truthful},
	{lie: "reset:100", on: "metadata", once: truthful, forever: truthful},
	{lie: "cut-connection:70000", on: "file", once: truthful, forever: truthful},
	{lie: "cut-connection:100", on: "metadata", once: truthful, forever: truthful},
	{lie: "reset-connection:70000", on: "file", once: truthful, forever: truthful},
	{lie: "stop-at:70000", on: "file", once: truthful, forever: nothing, status: "lets no more through"},
	{lie: "trim:70000", on: "file", once: truthful, forever: truthful},
	{lie: "refuse-ranges:403", on: "file", first: cutFile, once: truthful, forever: truthful},
	{lie: "refuse-beyond:70000,403", on: "file", first: cutFile, once: truthful, forever: nothing, status: "nothing beyond byte 70000"},
	{lie: "limit-answer:70000,413", on: "file", once: truthful, forever: truthful},
	{lie: "hang-up", on: "file", once: truthful, forever: nothing, status: "cut"},
	{lie: "hang-up", on: "metadata", once: truthful, forever: nothing, status: "cut"},
	{lie: "stall:70000", on: "file", once: truthful, forever: truthful},
	{lie: "stall:100", on: "metadata", once: truthful, forever: truthful},
	{lie: "never-answer", on: "file", once: truthful, forever: nothing, status: "stalled"},
	{lie: "never-answer", on: "metadata", once: truthful, forever: nothing, status: "stalled"},
	{lie: "endless", on: "file", once: truthful, forever: truthful},
	{lie: "endless", on: "metadata", once: truthful, forever: nothing, status: "lie"},
	{lie: "end:70000", on: "file", once: truthful, forever: truthful},
	{lie: "end:100", on: "metadata", once: truthful, forever: nothing, status: "lie"},
	{lie: "end-chunked:70000", on: "file", once: truthful, forever: truthful},
	{lie: "end-chunked:100", on: "metadata", once: truthful, forever: nothing, status: "lie"},
	{lie: "no-length", on: "file", once: truthful, forever: truthful},
	{lie: "no-length", on: "metadata", once: truthful, forever: truthful},
	{lie: "status:404", on: "file", once: nothing, forever: nothing, status: "gone"},
	{lie: "status:404", on: "metadata", once: nothing, forever: nothing, status: "gone"},
	{lie: "status:429,1", on: "file", once: truthful, forever: nothing, status: "busy"},
	{lie: "status:429,1", on: "metadata", once: truthful, forever: nothing, status: "busy"},
	{lie: "status:500", on: "file", once: truthful, forever: nothing, status: "broken"},
	{lie: "status:500", on: "metadata", once: truthful, forever: nothing, status: "broken"},
	{lie: "status:502", on: "file", once: truthful, forever: nothing, status: "broken"},
	{lie: "status:502", on: "metadata", once: truthful, forever: nothing, status: "broken"},
	{lie: "status:503,1", on: "file", once: truthful, forever: nothing, status: "busy"},
	{lie: "status:503,1", on: "metadata", once: truthful, forever: nothing, status: "busy"},
	{lie: "login-page", on: "file", once: truthful, forever: nothing, status: "lie"},
	{lie: "login-page", on: "metadata", once: truthful, forever: nothing, status: "lie"},
	{lie: "redirect-loop", on: "file", once: truthful, forever: nothing, status: "lie"},
	{lie: "redirect-loop", on: "metadata", once: truthful, forever: nothing, status: "lie"},
	{lie: "redirect:file:///etc/passwd", on: "file", once: truthful, forever: nothing, status: "lie"},
	{lie: "redirect:file:///etc/passwd", on: "metadata", once: truthful, forever: nothing, status: "lie"},
	{lie: "416", on: "file", first: cutFile, once: truthful, forever: truthful},
	{lie: "416", on: "metadata", first: cutMetadata, once: truthful, forever: truthful},
	{lie: "content-range:1,0", on: "file", first: cutFile, once: truthful, forever: truthful},
	{lie: "content-range:1,0", on: "metadata", first: cutMetadata, once: truthful, forever: truthful},
	{lie: "content-range:0,9", on: "file", first: cutFile, once: truthful, forever: truthful},
	{lie: "content-range:0,9", on: "metadata", first: cutMetadata, once: truthful, forever: truthful},
	{lie: "unknown-total", on: "file", first: cutFile, once: truthful, forever: truthful},
	{lie: "unknown-total", on: "metadata", first: cutMetadata, once: truthful, forever: truthful},
	{lie: "flip:99999", on: "file", once: perhaps, forever: nothing, status: "lie"},
	{lie: "flip:50", on: "metadata", once: truthful, forever: nothing, status: "lie"},
	{lie: "flip:-1", on: "file", once: perhaps, forever: nothing, status: "lie"},
	{lie: "flip:-1", on: "metadata", once: truthful, forever: nothing, status: "lie"},
	{lie: "resize:9", on: "file", once: truthful, forever: nothing, status: "lie"},
	{lie: "resize:9", on: "metadata", once: truthful, forever: nothing, status: "lie"},
	{lie: "resize:-9", on: "file", once: truthful, forever: nothing, status: "lie"},
	{lie: "resize:-9", on: "metadata", once: truthful, forever: nothing, status: "lie"},
	{lie: "ignore-range", on: "file", first: cutFile, once: truthful, forever: truthful},
	{lie: "ignore-range", on: "metadata", first: cutMetadata, once: truthful, forever: truthful},
	{lie: "change-etag:true", on: "file", first: cutFile, once: truthful, forever: truthful},
	{lie: "change-etag:true", on: "metadata", first: cutMetadata, once: truthful, forever: truthful},
	{lie: "change-etag:false", on: "file", first: cutFile, once: truthful, forever: truthful},
	{lie: "change-etag:false", on: "metadata", first: cutMetadata, once: truthful, forever: truthful},
	{lie: "no-etag", on: "file", first: cutFile, once: truthful, forever: truthful},
	{lie: "no-etag", on: "metadata", first: cutMetadata, once: truthful, forever: truthful},
	{lie: "type:text/html", on: "file", once: truthful, forever: nothing, status: "lie"},
	{lie: "type:text/html", on: "metadata", once: truthful, forever: nothing, status: "lie"},
	{lie: "garbage", on: "file", once: truthful, forever: nothing, status: "lie"},
	{lie: "garbage", on: "metadata", once: truthful, forever: nothing, status: "lie"},
	{lie: "half", on: "file", once: truthful, forever: nothing, status: "lie"},
	{lie: "half", on: "metadata", once: truthful, forever: nothing, status: "lie"},
}
