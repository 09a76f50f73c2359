package upstreamtest

import (
	"fmt"
	"strconv"
	"strings"
)

// Known is a lie that ParseLie can read.
type Known struct {
	Form    string // "cut:BYTES"
	Meaning string
	make    func(argument string) (Lie, error)
}

// Catalogue lists every lie that can be told, in the form that ParseLie reads.
// The Name of a Lie is in that form too.
func Catalogue() []Known {
	return []Known{
		{"cut:BYTES", "end the connection by FIN after so many bytes of body", number(CutAfter)},
		{"reset:BYTES", "end the connection by RST after so many bytes of body", number(ResetAfter)},
		{"cut-connection:BYTES", "end every connection once it has carried so many bytes of bodies", number(CutConnectionAfter)},
		{"reset-connection:BYTES", "the same by RST", number(ResetConnectionAfter)},
		{"stop-at:BYTE", "end the connection at that byte of the file, whatever is asked for", number(StopAt)},
		{"trim:BYTES", "end each body after so many bytes, with a Content-Length that agrees", number(Trim)},
		{"hang-up", "end the connection instead of answering", always(HangUp)},
		{"stall:BYTES", "fall silent after so many bytes of body", number(StallAfter)},
		{"never-answer", "take the request and send nothing", always(NeverAnswer)},
		{"endless", "go on after the end of the body", always(Endless)},
		{"end:BYTES", "end in good order after so many bytes, by closing, without Content-Length", number(EndAfter)},
		{"end-chunked:BYTES", "the same, chunked", number(EndChunkedAfter)},
		{"no-length", "leave Content-Length out", always(WithoutLength)},
		{"status:CODE[,RETRY-AFTER]", "answer with a status: 404, 429, 500, 502, 503", parseStatus},
		{"login-page", "200 with the HTML of a captive portal", always(LoginPage)},
		{"redirect-loop", "redirect to itself for ever", always(RedirectLoop)},
		{"redirect:LOCATION", "redirect to file:///etc/passwd or another host", text(RedirectTo)},
		{"416", "answer every Range request with 416", always(Unsatisfiable)},
		{"refuse-ranges:CODE", "answer every Range request with a status: 403, 406, 416", parseRefuseRanges},
		{"refuse-beyond:BYTE,CODE", "answer with a status where a range begins at or behind that byte", numberAndCode(RefuseBeyond)},
		{"limit-answer:BYTES,CODE", "answer with a status where the body would be longer", numberAndCode(LimitAnswer)},
		{"content-range:START,TOTAL", "add to what Content-Range states", parseContentRange},
		{"unknown-total", "leave the size open in Content-Range", always(UnknownTotal)},
		{"gzip-bomb:MIB", "a page in gzip that unpacks to so many MiB", number(GzipBomb)},
		{"flip:OFFSET", "turn one byte over: right length, wrong digest", number(FlipByte)},
		{"resize:BYTES", "send so many bytes more, or less with a minus", number(Resize)},
		{"ignore-range", "answer a Range request with 200 and the whole", always(IgnoreRange)},
		{"change-etag:HONOUR", "another ETag each time; true or false: If-Range is honoured", parseChangeETag},
		{"no-etag", "leave the ETag out", always(NoETag)},
		{"type:MEDIATYPE", "state another Content-Type", text(WrongType)},
		{"garbage", "bytes that mean nothing, under the right Content-Type", always(Garbage)},
		{"half", "the first half of the body, in good order", always(Half)},
		{"quarantined", "a page without files that says quarantined", always(func() Lie { return Quarantined("") })},
		{"empty", "a valid page from which everything is gone", always(EmptyPage)},
		{"stale:CHANGES", "a project page as it was so many changes ago, and its serial", number(func(n int64) Lie { return Stale(int(min(n, 1<<20))) })},
		{"api-version:VERSION", "state another version of the API", text(APIVersion)},
		{"html-as-json", "send HTML as JSON", always(HTMLAsJSON)},
		{"wrong-hashes", "state digests that the files do not have", always(WrongHashes)},
		{"wrong-metadata-hashes", "state digests that the metadata files do not have", always(WrongMetadataHashes)},
		{"wrong-sizes:BYTES", "add to the sizes that a page states", number(WrongSizes)},
		{"files-on:BASE", "send the files' URLs to another place", text(FilesOn)},
		{"fault:CODE", "the feed answers with a fault: -32500 for too many requests", number(func(n int64) Lie { return Fault(n, "") })},
		{"replay:ROWS", "the feed gives so many rows again from before the serial", number(func(n int64) Lie { return ReplayRows(int(min(n, 1<<20))) })},
		{"gap:N", "the feed leaves each Nth row out", number(func(n int64) Lie { return Gap(int(min(n, 1<<20))) })},
		{"late:N", "the feed gives each Nth of its newest rows only later", number(func(n int64) Lie { return Late(int(min(n, 1<<20))) })},
		{"backwards", "the feed's timestamps run backwards", always(Backwards)},
		{"hostile", "add names with paths, negative sizes, javascript: URLs to a page", always(Hostile)},
	}
}

// ParseLie reads one form of the Catalogue: "cut:65536", "status:503,3", "half".
func ParseLie(s string) (Lie, error) {
	name, argument, _ := strings.Cut(s, ":")
	for _, known := range Catalogue() {
		if form, _, _ := strings.Cut(known.Form, ":"); form != name {
			continue
		}
		lie, err := known.make(argument)
		if err != nil {
			return Lie{}, fmt.Errorf("parse lie %q: want %s: %w", s, known.Form, err)
		}
		return lie, nil
	}
	return Lie{}, fmt.Errorf("parse lie %q: there is none of that name", s)
}

// TellText is Tell with a line of text: "TARGET LIE [TIMES]", such as
// "file:stilton-*.whl cut:65536 3".
func (s *Server) TellText(line string) (*Told, error) {
	fields := strings.Fields(line)
	if len(fields) != 2 && len(fields) != 3 {
		return nil, fmt.Errorf("tell %q: want TARGET LIE [TIMES]", line)
	}
	target, err := ParseTarget(fields[0])
	if err != nil {
		return nil, err
	}
	lie, err := ParseLie(fields[1])
	if err != nil {
		return nil, err
	}
	times := 0
	if len(fields) == 3 {
		if times, err = strconv.Atoi(fields[2]); err != nil || times < 0 {
			return nil, fmt.Errorf("tell %q: %q is not a number of times", line, fields[2])
		}
	}
	return s.Tell(target, lie, times), nil
}

func always(lie func() Lie) func(string) (Lie, error) {
	return func(argument string) (Lie, error) {
		if argument != "" {
			return Lie{}, fmt.Errorf("it takes no argument")
		}
		return lie(), nil
	}
}

func number(lie func(int64) Lie) func(string) (Lie, error) {
	return func(argument string) (Lie, error) {
		n, err := strconv.ParseInt(argument, 10, 64)
		if err != nil {
			return Lie{}, err
		}
		return lie(n), nil
	}
}

func text(lie func(string) Lie) func(string) (Lie, error) {
	return func(argument string) (Lie, error) {
		if argument == "" {
			return Lie{}, fmt.Errorf("the argument is missing")
		}
		return lie(argument), nil
	}
}

func parseStatus(argument string) (Lie, error) {
	digits, retryAfter, _ := strings.Cut(argument, ",")
	code, err := strconv.Atoi(digits)
	if err != nil {
		return Lie{}, err
	}
	if code < 200 || code > 599 {
		return Lie{}, fmt.Errorf("%d is not a final status", code)
	}
	return Status(code, retryAfter), nil
}

func parseContentRange(argument string) (Lie, error) {
	first, second, _ := strings.Cut(argument, ",")
	start, err := strconv.ParseInt(first, 10, 64)
	if err != nil {
		return Lie{}, err
	}
	total, err := strconv.ParseInt(second, 10, 64)
	if err != nil {
		return Lie{}, err
	}
	return WrongContentRange(start, total), nil
}

func parseChangeETag(argument string) (Lie, error) {
	honour, err := strconv.ParseBool(argument)
	return ChangeETag(honour), err
}
