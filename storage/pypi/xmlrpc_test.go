package pypi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// pypiChanges is an answer as PyPI and Python's xmlrpc.client write it.
const pypiChanges = `<?xml version='1.0'?>
<methodResponse>
<params>
<param>
<value><array><data>
<value><array><data>
<value><string>Zope.Interface</string></value>
<value><nil/></value>
<value><int>1700000007</int></value>
<value><string>create</string></value>
<value><int>20711234</int></value>
</data></array></value>
<value><array><data>
<value>numpy</value>
<value><string>2.3.0</string></value>
<value><i4>1700000001</i4></value>
<value>add cp313 file numpy-2.3.0-cp313-cp313-manylinux_2_28_x86_64.whl &amp; &lt;more&gt;</value>
<value><i8>20711236</i8></value>
</data></array></value>
<value><array><data>
<value><string>../../etc</string></value>
<value><string></string></value>
<value><double>1.5</double></value>
<value><boolean>1</boolean></value>
<value><int> 20711240 </int></value>
</data></array></value>
</data></array></value>
</param>
</params>
</methodResponse>
`

func changesOf(t testing.TB, text string) ([]Change, FeedSummary, error) {
	t.Helper()
	var got []Change
	sum, err := DecodeFeedChanges(strings.NewReader(text), func(c Change) error { got = append(got, c); return nil })
	return got, sum, err
}

func TestDecodeFeedChanges(t *testing.T) {
	want := []Change{
		{"zope-interface", "", 1700000007, "create", 20711234},
		{"numpy", "2.3.0", 1700000001, "add cp313 file numpy-2.3.0-cp313-cp313-manylinux_2_28_x86_64.whl & <more>", 20711236},
	}
	for _, text := range []string{
		pypiChanges,
		"\xef\xbb\xbf" + pypiChanges,
		strings.ReplaceAll(pypiChanges, "\n", "\r\n"),
		strings.ReplaceAll(pypiChanges, "\n", ""),
		strings.Replace(pypiChanges, "'1.0'", `"1.0" encoding="us-ascii"`, 1),
		strings.Replace(pypiChanges, "'1.0'", `"1.0" encoding="UTF-8"`, 1),
		strings.ReplaceAll(strings.ReplaceAll(pypiChanges, "<nil/>", `<ex:nil xmlns:ex="http://ws.apache.org/xmlrpc/namespaces/extensions"/>`), "create", "cr<!-- x --><![CDATA[eat]]>e"),
		strings.ReplaceAll(pypiChanges, "<value>numpy</value>", "<!-- a comment --><value>numpy</value>"),
	} {
		got, sum, err := changesOf(t, text)
		if err != nil || !slices.Equal(got, want) || sum != (FeedSummary{Rows: 3, Skipped: 1, Last: 20711240}) {
			t.Errorf("%.200s:\n%+v %+v %v", text, got, sum, err)
		}
	}
}

func TestDecodeFeedChangesSkipsRowsThatSayNothing(t *testing.T) {
	head, tail := "<methodResponse><params><param><value><array><data>", "</data></array></value></param></params></methodResponse>"
	row := func(values string) string { return "<value><array><data>" + values + "</data></array></value>" }
	for _, values := range []string{
		"",
		"<value>a</value>",
		"<value>a</value><value>1</value><value><int>1</int></value><value>x</value><value>7</value>",             // a serial that is text
		"<value>a</value><value>1</value><value><int>1</int></value><value>x</value><value><int>0</int></value>",  // none
		"<value>a</value><value>1</value><value><int>1</int></value><value>x</value><value><int>-7</int></value>", // negative
		"<value><int>7</int></value><value>1</value><value/><value>x</value><value><int>7</int></value>",
		"<value>a b</value><value>1</value><value/><value>x</value><value><int>7</int></value>",
		"<value><struct><member><name>name</name><value>a</value></member></struct></value>",
	} {
		good := row("<value>good</value><value/><value/><value/><value><int>9</int></value><value>one more</value>")
		got, sum, err := changesOf(t, head+row(values)+good+tail)
		if err != nil || len(got) != 1 || got[0] != (Change{Name: "good", Serial: 9}) || sum.Rows != 2 || sum.Skipped != 1 || sum.Last != 9 {
			t.Errorf("%s: %+v %+v %v", values, got, sum, err)
		}
	}
	got, sum, err := changesOf(t, head+"<value>no row</value><value><nil/></value>"+tail)
	if err != nil || got != nil || sum != (FeedSummary{Rows: 2, Skipped: 2}) {
		t.Errorf("values that are no rows: %+v %+v %v", got, sum, err)
	}
}

func TestXMLRPCRoundTrip(t *testing.T) {
	changes := []Change{
		{"a", "", 0, "", 1},
		{"b-c", "1.0+x<&>\"'", -5, "add file \u00e9\u4e2d x\ty\nz\r", math.MaxInt32},
		{"d", "1!2", math.MinInt64, "]]>", math.MaxInt32 + 1},
		{"e", " 1 ", math.MaxInt64, strings.Repeat("x", maxXMLText-10), math.MaxInt64},
	}
	var b bytes.Buffer
	if err := WriteFeedChanges(&b, slices.Values(changes)); err != nil {
		t.Fatal(err)
	}
	got, sum, err := changesOf(t, b.String())
	if err != nil || !slices.Equal(got, changes) || sum != (FeedSummary{4, 0, math.MaxInt64}) {
		t.Errorf("%+v %+v %v", got, sum, err)
	}

	entries := []ListEntry{{"a", 0}, {"b", 7}, {"c", 1 << 40}}
	b.Reset()
	if err := WriteFeedList(&b, slices.Values(entries)); err != nil {
		t.Fatal(err)
	}
	var list []ListEntry
	listed, err := DecodeFeedList(&b, func(e ListEntry) error { list = append(list, e); return nil })
	if err != nil || !slices.Equal(list, entries) || listed != (ListSummary{LastSerial: 1 << 40, Projects: 3}) {
		t.Errorf("%v %+v %v", list, listed, err)
	}

	for _, n := range []int64{0, 1, math.MaxInt32, math.MaxInt32 + 1, math.MaxInt64} {
		if got, err := DecodeFeedSerial(bytes.NewReader(AppendFeedSerial(nil, n))); err != nil || got != n {
			t.Errorf("%d: %d %v", n, got, err)
		}
		c, err := DecodeFeedCall(bytes.NewReader(AppendFeedCall(nil, MethodSinceSerial, n, -n)))
		if err != nil || c.Method != MethodSinceSerial || !slices.Equal(c.Params, []FeedParam{{n, true}, {-n, true}}) {
			t.Errorf("%d: %+v %v", n, c, err)
		}
	}

	fault := Fault{FaultApplication, "HTTPTooManyRequests: <slow> & \x00steady"}
	text := AppendFeedFault(nil, fault)
	fault.Text = strings.ReplaceAll(fault.Text, "\x00", "\uFFFD")
	_, errSerial := DecodeFeedSerial(bytes.NewReader(text))
	_, _, errChanges := changesOf(t, string(text))
	_, errList := DecodeFeedList(bytes.NewReader(text), nil)
	for _, err := range []error{errSerial, errChanges, errList} {
		if f := new(Fault); !errors.As(err, &f) || *f != fault || errors.Is(err, ErrNotXMLRPC) {
			t.Errorf("fault: %v", err)
		}
	}
}

func TestDecodeFeedCall(t *testing.T) {
	for text, want := range map[string]string{
		"<methodCall><methodName>list_packages</methodName></methodCall>":                                                     "list_packages []",
		"<methodCall><methodName>x</methodName><params/></methodCall>":                                                        "x []",
		"<?xml version='1.0'?>\n<methodCall>\n<methodName>x</methodName>\n<params>\n</params>\n</methodCall>\n\n<!-- end -->": "x []",
		"<methodCall><methodName>search</methodName><params><param><value><struct><member><name>name</name><value><array><data>" +
			"<value>pip</value></data></array></value></member></struct></value></param><param><value><string>7</string></value></param>" +
			"<param><value><int>7</int></value></param></params></methodCall>": "search [{0 false} {0 false} {7 true}]",
	} {
		c, err := DecodeFeedCall(strings.NewReader(text))
		if got := fmt.Sprint(c.Method, " ", c.Params); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", text, got, err, want)
		}
	}
	many := "<methodCall><methodName>x</methodName><params>" + strings.Repeat("<param><value>1</value></param>", maxXMLParams+1) + "</params></methodCall>"
	for _, text := range []string{many, "", "x", "<methodCall/>", "<methodCall><params/></methodCall>", "<methodCall><methodName>x</methodName><params><value/></params></methodCall>",
		"<methodCall><methodName>x</methodName><params/><params/></methodCall>", "<methodCall><methodName>x</methodName></methodCall><methodCall/>"} {
		if c, err := DecodeFeedCall(strings.NewReader(text)); !errors.Is(err, ErrNotXMLRPC) {
			t.Errorf("%.80q: %+v %v", text, c, err)
		}
	}
}

// endless is a text that goes on without end.
type endless string

func (e endless) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		n += copy(p[n:], e)
	}
	return n, nil
}

func TestXMLRPCHostile(t *testing.T) {
	row := "<methodResponse><params><param><value><array><data><value><array><data>"
	for what, r := range map[string]io.Reader{
		"another page":        strings.NewReader("<!DOCTYPE html><html><body>Login</body></html>"),
		"HTML":                strings.NewReader("<html><body>Login</body></html>"),
		"JSON":                strings.NewReader(`{"projects": []}`),
		"an entity":           strings.NewReader(strings.Replace(pypiChanges, "create", "&lol;", 1)),
		"entities":            strings.NewReader(`<!DOCTYPE l [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>` + pypiChanges),
		"another encoding":    strings.NewReader(strings.Replace(pypiChanges, "'1.0'", `"1.0" encoding="utf-16"`, 1)),
		"not UTF-8":           strings.NewReader(strings.Replace(pypiChanges, "create", "\xff", 1)),
		"a control character": strings.NewReader(strings.Replace(pypiChanges, "create", "\x01", 1)),
		"no integer":          strings.NewReader(strings.Replace(pypiChanges, "20711234", "2071123x", 1)),
		"too large":           strings.NewReader(strings.Replace(pypiChanges, "20711234", "99999999999999999999", 1)),
		"crossed tags":        strings.NewReader(strings.Replace(pypiChanges, "</int></value>", "</value></int>", 1)),
		"two values in one":   strings.NewReader(strings.Replace(pypiChanges, "<nil/>", "<nil/><nil/>", 1)),
		"text beside a value": strings.NewReader(strings.Replace(pypiChanges, "<nil/>", "x<nil/>", 1)),
		"text among rows":     strings.NewReader(strings.Replace(pypiChanges, "<value>numpy", "x<value>numpy", 1)),
		"two answers":         strings.NewReader(pypiChanges + "<methodResponse/>"),
		"text at the end":     strings.NewReader(pypiChanges + "x"),
		"a struct":            strings.NewReader("<methodResponse><params><param><value><struct/></value></param></params></methodResponse>"),
		"no params":           strings.NewReader("<methodResponse></methodResponse>"),
		"two params":          strings.NewReader("<methodResponse><params><param><value><array><data/></array></value></param><param/></params></methodResponse>"),
		"a fault of nothing":  strings.NewReader("<methodResponse><fault><value>x</value></fault></methodResponse>"),
		"endless depth":       io.MultiReader(strings.NewReader(row), endless("<value><array><data>")),
		"an endless name":     io.MultiReader(strings.NewReader(row), endless("x")),
		"an endless text":     io.MultiReader(strings.NewReader(row+"<value>"), endless("x")),
		"an endless value":    io.MultiReader(strings.NewReader(row+"<value>"), endless("x<!-- -->")),
		"an endless tag":      io.MultiReader(strings.NewReader(row+"<"), endless("x")),
		"an endless comment":  io.MultiReader(strings.NewReader(row+"<!--"), endless("x")),
		"endless attributes":  io.MultiReader(strings.NewReader(row+"<value "), endless(`x="y" `)),
		"endless space":       io.MultiReader(strings.NewReader(row), endless(" ")),
		"nothing":             strings.NewReader(""),
	} {
		_, err := DecodeFeedChanges(r, func(Change) error { return nil })
		if !errors.Is(err, ErrNotXMLRPC) || errors.Is(err, io.ErrUnexpectedEOF) != (what == "nothing") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestXMLRPCCutShort cuts an answer at every byte: each cut is told from
// nonsense, and what was whole before it was handed on.
func TestXMLRPCCutShort(t *testing.T) {
	whole := strings.TrimSpace(pypiChanges)
	for n := range whole {
		got, _, err := changesOf(t, whole[:n])
		if !errors.Is(err, ErrNotXMLRPC) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("%q: %v", whole[max(0, n-40):n], err)
		}
		if want := strings.Count(whole[:n], "</data></array></value>"); len(got) != min(want, 2) {
			t.Fatalf("%q: %d rows, want %d", whole[max(0, n-40):n], len(got), want)
		}
	}
	broken := errors.New("the line broke")
	_, err := DecodeFeedChanges(io.MultiReader(strings.NewReader(whole[:700]), iotest.ErrReader(broken)), func(Change) error { return nil })
	if !errors.Is(err, broken) || errors.Is(err, ErrNotXMLRPC) {
		t.Errorf("an error of the reader: %v", err)
	}
	enough := errors.New("enough")
	if _, err := DecodeFeedChanges(strings.NewReader(whole), func(Change) error { return enough }); err != enough {
		t.Errorf("an error of yield: %v", err)
	}
	if _, err := DecodeFeedList(bytes.NewReader([]byte("<methodResponse><params><param><value><struct><member><name>a</name><value><int>1</int></value></member></struct></value></param></params></methodResponse>")),
		func(ListEntry) error { return enough }); err != enough {
		t.Errorf("an error of yield: %v", err)
	}
}

func TestXMLRPCWriters(t *testing.T) {
	var b bytes.Buffer
	if err := WriteFeedNames(&b, slices.Values([]ListEntry{{"a", 1}, {"b-c", 2}})); err != nil {
		t.Fatal(err)
	}
	want := xmlBegin + "<value><array><data>\n<value><string>a</string></value>\n<value><string>b-c</string></value>\n</data></array></value>" + xmlEnd
	if b.String() != want {
		t.Errorf("%s", b.String())
	}
	failing := errors.New("full")
	for _, write := range []func(io.Writer) error{
		func(w io.Writer) error { return WriteFeedNames(w, slices.Values([]ListEntry{{"a", 1}})) },
		func(w io.Writer) error { return WriteFeedList(w, slices.Values([]ListEntry{{"a", 1}})) },
		func(w io.Writer) error {
			return WriteFeedChanges(w, func(yield func(Change) bool) {
				for yield(Change{Name: "a", Serial: 1}) {
				}
			})
		},
	} {
		if err := write(failWriter{failing}); !errors.Is(err, failing) {
			t.Errorf("an error of the writer: %v", err)
		}
	}
}

type failWriter struct{ err error }

func (f failWriter) Write([]byte) (int, error) { return 0, f.err }

func BenchmarkDecodeFeedChanges(b *testing.B) {
	var text bytes.Buffer
	err := WriteFeedChanges(&text, func(yield func(Change) bool) {
		for i := range int64(MaxFeedRows) {
			if !yield(Change{Name("project-" + fmt.Sprint(i)), "1.0.3", 1700000000 + i, "add py3 file project-1.0.3-py3-none-any.whl", 20_000_000 + i}) {
				return
			}
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if sum, err := DecodeFeedChanges(bytes.NewReader(text.Bytes()), func(Change) error { return nil }); err != nil || sum.Rows != MaxFeedRows {
			b.Fatal(sum, err)
		}
	}
}

// FuzzXMLRPC: no bytes make a decoder panic or hand on what breaks the rules;
// what was read can be written and read again; the size of the reads plays no
// part.
func FuzzXMLRPC(f *testing.F) {
	f.Add([]byte(pypiChanges))
	f.Add([]byte(pypiChanges[:len(pypiChanges)/2]))
	f.Add(AppendFeedCall(nil, MethodSinceSerial, 7, 1<<40))
	f.Add(AppendFeedSerial(nil, 1<<33))
	f.Add(AppendFeedFault(nil, Fault{FaultApplication, "too many"}))
	f.Add([]byte("<methodResponse><params><param><value><struct><member><name>a</name><value><int>1</int></value></member></struct></value></param></params></methodResponse>"))
	f.Fuzz(func(t *testing.T, text []byte) {
		changes, sum, err := changesOf(t, string(text))
		var again []Change
		sumAgain, errAgain := DecodeFeedChanges(iotest.OneByteReader(bytes.NewReader(text)), func(c Change) error { again = append(again, c); return nil })
		if !slices.Equal(changes, again) || sum != sumAgain || fmt.Sprint(err) != fmt.Sprint(errAgain) {
			t.Fatalf("read in pieces: %+v %v, then %+v %v", sum, err, sumAgain, errAgain)
		}
		checkFeedError(t, err)
		if sum.Rows != len(changes)+sum.Skipped {
			t.Fatalf("%+v of %d changes", sum, len(changes))
		}
		for _, c := range changes {
			if n, err := ParseName(string(c.Name)); err != nil || n != c.Name || c.Serial <= 0 || c.Serial > sum.Last {
				t.Fatalf("%+v %+v", c, sum)
			}
		}
		var b bytes.Buffer
		if err := WriteFeedChanges(&b, slices.Values(changes)); err != nil {
			t.Fatal(err)
		}
		if again, _, err := changesOf(t, b.String()); err != nil || !slices.Equal(changes, again) {
			t.Fatalf("%+v became %+v, %v", changes, again, err)
		}
		n := 0
		listed, err := DecodeFeedList(bytes.NewReader(text), func(ListEntry) error { n++; return nil })
		if checkFeedError(t, err); listed.Projects != n {
			t.Fatalf("%+v of %d", listed, n)
		}
		serial, err := DecodeFeedSerial(bytes.NewReader(text))
		if checkFeedError(t, err); serial < 0 {
			t.Fatal(serial)
		}
		call, err := DecodeFeedCall(bytes.NewReader(text))
		if checkFeedError(t, err); len(call.Params) > maxXMLParams {
			t.Fatal(call)
		}
	})
}

// checkFeedError wants an error to be one of the kinds that are promised.
func checkFeedError(t *testing.T, err error) {
	t.Helper()
	if f := new(Fault); err != nil && !errors.As(err, &f) && !errors.Is(err, ErrNotXMLRPC) {
		t.Fatalf("%v", err)
	}
}
