package upstreamtest

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// feedRows is how many rows PyPI gives at most for one changelog_since_serial.
const feedRows = 50_000

// event is one row of the change feed.
type event struct {
	name    string // as the project's page shows it
	version string // "" for the project as a whole
	at      time.Time
	action  string
	serial  int64
}

// addAction is what PyPI notes for a new file: "add py3 file X".
func addAction(filename string) string {
	tag := "source"
	if parts := strings.Split(strings.TrimSuffix(filename, ".whl"), "-"); strings.HasSuffix(filename, ".whl") && len(parts) >= 5 {
		tag = parts[len(parts)-3]
	}
	return "add " + tag + " file " + filename
}

// events is the whole history, by serial, and the highest serial in it.
func (x *Index) events() (rows []event, last int64) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	last = firstSerial
	if n := len(x.journal); n > 0 {
		last = x.journal[n-1].serial
	}
	return x.journal[:len(x.journal):len(x.journal)], last
}

// feedCall is a call by XML-RPC; without a method where it could not be read.
type feedCall struct {
	method string
	params []int64
	asked  bool // it is one
}

// String is the method with its params.
func (c feedCall) String() string {
	if !c.asked {
		return ""
	}
	return strings.TrimRight(fmt.Sprintln(append([]any{c.method}, anys(c.params)...)...), "\n")
}

func anys(numbers []int64) []any {
	var out []any
	for _, n := range numbers {
		out = append(out, n)
	}
	return out
}

func readCall(r *http.Request) feedCall {
	c := feedCall{asked: isPost(r)}
	var text struct {
		XMLName xml.Name `xml:"methodCall"`
		Method  string   `xml:"methodName"`
		Params  []struct {
			Int int64 `xml:"value>int"`
			I4  int64 `xml:"value>i4"`
			I8  int64 `xml:"value>i8"`
		} `xml:"params>param"`
	}
	if !c.asked || xml.NewDecoder(io.LimitReader(r.Body, 64<<10)).Decode(&text) != nil {
		return c
	}
	c.method = strings.TrimSpace(text.Method)
	for _, p := range text.Params {
		c.params = append(c.params, p.Int+p.I4+p.I8) // two of them are 0
	}
	return c
}

// feedAnswer is what the feed says, before it is XML.
type feedAnswer struct {
	call   feedCall
	rows   []event // the whole history
	last   int64
	replay int // rows before the serial that come again
	fault  *fault
}

type fault struct {
	code int64
	text string
}

// feed answers a call to /pypi.
func (s *Server) feed(r *http.Request, call feedCall, lies []claimed) (*content, *reply) {
	switch {
	case s.Dialect.NoFeed:
		return nil, plain(http.StatusNotFound)
	case !isPost(r):
		return nil, plain(http.StatusMethodNotAllowed)
	}
	a := &feedAnswer{call: call}
	a.rows, a.last = s.Index.events()
	for _, l := range lies {
		if l.lie.feed != nil {
			l.lie.feed(a)
		}
	}
	return &content{
		body: bytes.NewReader(a.render(s.Index)), mediaType: "text/xml; charset=UTF-8", noConditions: true,
		gzip: !s.Dialect.NoGzip && quality(r.Header.Get("Accept-Encoding"), "gzip") > 0,
	}, nil
}

// render writes the answer as Python's xmlrpc.client does, which PyPI uses.
func (a *feedAnswer) render(x *Index) []byte {
	var value string
	wanted := 0
	switch a.call.method {
	case "changelog_last_serial":
		value = xmlInt(a.last)
	case "changelog_since_serial":
		wanted = 1
		if len(a.call.params) == 1 {
			value = xmlRows(a.since(a.call.params[0]))
		}
	case "list_packages_with_serial":
		value = xmlSerials(x.list())
	case "list_packages":
		value = xmlNames(x.list())
	case "":
		a.blame(-32700, "parse error; not well formed")
	default:
		a.blame(-32601, "server error; requested method not found")
	}
	if len(a.call.params) != wanted {
		a.blame(-32602, "server error; invalid method params")
	}
	if a.fault != nil {
		return fmt.Appendf(nil, "<?xml version='1.0'?>\n<methodResponse>\n<fault>\n<value><struct>\n"+
			"<member>\n<name>faultCode</name>\n%s</member>\n<member>\n<name>faultString</name>\n%s</member>\n"+
			"</struct></value>\n</fault>\n</methodResponse>\n", xmlInt(a.fault.code), xmlString(a.fault.text))
	}
	return []byte("<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n" + value + "</param>\n</params>\n</methodResponse>\n")
}

// blame makes a fault of the answer, unless it is one already.
func (a *feedAnswer) blame(code int64, text string) {
	if a.fault == nil {
		a.fault = &fault{code, text}
	}
}

// since gives the rows after a serial, one page of them.
func (a *feedAnswer) since(serial int64) []event {
	first := 0
	for first < len(a.rows) && a.rows[first].serial <= serial {
		first++
	}
	first = max(0, first-a.replay)
	return a.rows[first:min(len(a.rows), first+feedRows)]
}

func xmlRows(rows []event) string {
	var b strings.Builder
	b.WriteString("<value><array><data>\n")
	for _, e := range rows {
		version := "<value><nil/></value>\n"
		if e.version != "" {
			version = xmlString(e.version)
		}
		b.WriteString("<value><array><data>\n" + xmlString(e.name) + version + xmlInt(e.at.Unix()) +
			xmlString(e.action) + xmlInt(e.serial) + "</data></array></value>\n")
	}
	b.WriteString("</data></array></value>\n")
	return b.String()
}

func xmlSerials(projects []state) string {
	var b strings.Builder
	b.WriteString("<value><struct>\n")
	for _, s := range projects {
		b.WriteString("<member>\n<name>" + xmlText(s.display) + "</name>\n" + xmlInt(s.serial) + "</member>\n")
	}
	b.WriteString("</struct></value>\n")
	return b.String()
}

func xmlNames(projects []state) string {
	var b strings.Builder
	b.WriteString("<value><array><data>\n")
	for _, s := range projects {
		b.WriteString(xmlString(s.display))
	}
	b.WriteString("</data></array></value>\n")
	return b.String()
}

func xmlInt(n int64) string { return fmt.Sprintf("<value><int>%d</int></value>\n", n) }

func xmlString(s string) string { return "<value><string>" + xmlText(s) + "</string></value>\n" }

func xmlText(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}
