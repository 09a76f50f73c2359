package pypi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/net/html"
)

// listOf makes entries of names and serials in turn.
func listOf(pairs ...any) iter.Seq[ListEntry] {
	return func(yield func(ListEntry) bool) {
		for i := 0; i < len(pairs); i += 2 {
			if !yield(ListEntry{Name(pairs[i].(string)), int64(pairs[i+1].(int))}) {
				return
			}
		}
	}
}

// manyProjects is a list that does not fit any buffer.
func manyProjects(n int) iter.Seq[ListEntry] {
	return func(yield func(ListEntry) bool) {
		for i := range n {
			if !yield(ListEntry{Name(fmt.Sprintf("project-%d", i)), int64(i)}) {
				return
			}
		}
	}
}

// listForms are the two forms of the root list.
var listForms = []struct {
	name   string
	decode func(io.Reader, func(ListEntry) error) (ListSummary, error)
	form   Form
}{
	{"JSON", DecodeListJSON, FormJSON},
	{"HTML", DecodeListHTML, FormHTML},
}

func TestListsSurviveTheRoundTrip(t *testing.T) {
	for _, form := range listForms {
		for _, n := range []int{0, 1, 5000} {
			var page bytes.Buffer
			if err := WriteList(&page, form.form, 4711, manyProjects(n)); err != nil {
				t.Fatal(err)
			}
			for how, wrap := range map[string]func(io.Reader) io.Reader{
				"whole": func(r io.Reader) io.Reader { return r }, "halves": iotest.HalfReader,
				"bytes": iotest.OneByteReader, "error with data": iotest.DataErrReader,
			} {
				var got []ListEntry
				sum, err := form.decode(wrap(bytes.NewReader(page.Bytes())), func(e ListEntry) error {
					got = append(got, e)
					return nil
				})
				if err != nil || sum != (ListSummary{4711, n, 0}) {
					t.Fatalf("%s, %d, %s: %v, %v", form.name, n, how, sum, err)
				}
				want := slices.Collect(manyProjects(n))
				if form.name == "HTML" {
					for i := range want {
						want[i].Serial = 0 // HTML has no place for it
					}
				}
				if !slices.Equal(got, want) {
					t.Fatalf("%s, %d, %s: the entries differ", form.name, n, how)
				}
			}
		}
	}
}

func TestListsAreReadAlikeByOthers(t *testing.T) {
	var page bytes.Buffer
	if err := WriteList(&page, FormJSON, 9, listOf("frob", 7, "holy-grail", 0)); err != nil {
		t.Fatal(err)
	}
	var list struct {
		Meta     map[string]any
		Projects []map[string]any
	}
	if err := json.Unmarshal(page.Bytes(), &list); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(list); got != "{map[_last-serial:9 api-version:1.4] [map[_last-serial:7 name:frob] map[name:holy-grail]]}" {
		t.Error(got)
	}
	page.Reset()
	if err := WriteList(&page, FormHTML, 9, listOf("frob", 7, "holy-grail", 0)); err != nil {
		t.Fatal(err)
	}
	root, err := html.Parse(&page)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for n := range root.Descendants() {
		if n.Type == html.ElementNode && n.Data == "a" {
			got = append(got, nodeAttrs(n)["href"], n.FirstChild.Data)
		}
	}
	if !slices.Equal(got, []string{"frob/", "frob", "holy-grail/", "holy-grail"}) {
		t.Error(got)
	}
}

func TestListsOfOthers(t *testing.T) {
	tests := []struct {
		form       int
		body, want string
		sum        ListSummary
	}{
		{0, `{"projects":[{"_last-serial":3,"name":"0-._.-._.-0"},{"name":"Django"}],"meta":{"_last-serial":8,"api-version":"1.5"}}`, "[{0-0 3} {django 0}]", ListSummary{8, 2, 0}},
		{0, "\xef\xbb\xbf" + `{"meta":{"api-version":"1.0","_last-serial":null},"projects":[{"name":"a"},{"name":"../b"},{"name":null},{"name":""},{},7,[],null,{"name":"c","_last-serial":-1}]}`, "[{a 0} {c 0}]", ListSummary{0, 2, 7}},
		{0, `{"meta":{"api-version":"1.0"},"projects":[{"name":"\u0061\u002db","new":[{}]}],"x":{"projects":[{"name":"no"}]}}`, "[{a-b 0}]", ListSummary{0, 1, 0}},
		{1, `<!DOCTYPE html><html><body><a href="/simple/django/">Django</a><a href="frob">frob</a></body></html><!--SERIAL 8-->`, "[{django 0} {frob 0}]", ListSummary{8, 2, 0}},
		{1, `<html><head><title>Index of /simple/</title></head><body><a href="../">../</a><a href="?C=N">Name</a><a href="frob/">frob/</a> <a href="a%2f..%2fb/">b</a><a href="x/">y</a><a href="static/index.html">static</a></body></html>`, "[{frob 0} {static 0}]", ListSummary{0, 2, 2}},
		{1, `<html><head><meta name="pypi:repository-version" content="1.9"></head><body><form></form></body></html>`, "[]", ListSummary{}},
	}
	for _, tc := range tests {
		got := []ListEntry{}
		sum, err := listForms[tc.form].decode(strings.NewReader(tc.body), func(e ListEntry) error {
			got = append(got, e)
			return nil
		})
		if err != nil || sum != tc.sum || fmt.Sprint(got) != tc.want {
			t.Errorf("%s: %v %+v %v", tc.body, got, sum, err)
		}
	}
}

func TestListsThatAreRefused(t *testing.T) {
	tests := []struct {
		form int
		body string
		want error
	}{
		{0, ``, ErrTruncated},
		{0, `{"meta":{"api-version":"1.0"},"projects":[{"name":"a"},{"na`, ErrTruncated},
		{0, `{"meta":{"api-version":"1.0"},"projects":[{"name":"a"}]`, ErrTruncated},
		{0, `{"projects":12345`, ErrTruncated},
		{0, `{"meta":{"api-version":"1.0"},"projects":[{"name":"a"}]} x`, ErrNotIndex},
		{0, `{"meta":{"api-version":"1.0"},"projects":null}`, ErrNotIndex},
		{0, `{"meta":{"api-version":"1.0"}}`, ErrNotIndex},
		{0, `{}`, ErrNotIndex},
		{0, `<html>`, ErrNotIndex},
		{0, `{"meta":{"api-version":"1.0"},"projects":[{"name":"` + strings.Repeat("x", 2<<20) + `"}]}`, ErrNotIndex},
		{0, `{"projects":[]}`, ErrVersion},
		{0, `{"meta":{"api-version":"2.0"},"projects":[]}`, ErrVersion},
		{0, `{"meta":{"api-version":null},"projects":[]}`, ErrVersion},
		{1, ``, ErrTruncated},
		{1, `<html><body><a href="a/">a</a>`, ErrTruncated},
		{1, `<html><body><a href="a/">a</a><a hr`, ErrTruncated},
		{1, portal, ErrNotIndex},
		{1, `<html><body>Please <a href="/login">login</a></body></html>`, ErrNotIndex},
		{1, `<html><head><title>Hotel</title></head><body></body></html>`, ErrNotIndex},
		{1, `{"meta":{}}`, ErrNotIndex},
		{1, `<html><head><meta name="pypi:repository-version" content="2.0"></head></html>`, ErrVersion},
	}
	for _, tc := range tests {
		_, err := listForms[tc.form].decode(strings.NewReader(tc.body), func(ListEntry) error { return nil })
		if !errors.Is(err, tc.want) || errors.Is(err, ErrTruncated) != (tc.want == ErrTruncated) {
			t.Errorf("%.100s: %v, want %v", tc.body, err, tc.want)
		}
	}
}

func TestListsHandOnTheErrorsOfOthers(t *testing.T) {
	for _, form := range listForms {
		var page bytes.Buffer
		if err := WriteList(&page, form.form, 0, manyProjects(3000)); err != nil {
			t.Fatal(err)
		}
		stop := errors.New("enough")
		n := 0
		_, err := form.decode(bytes.NewReader(page.Bytes()), func(ListEntry) error {
			if n++; n == 10 {
				return stop
			}
			return nil
		})
		if err != stop || n != 10 {
			t.Errorf("%s: yield: %v after %d", form.name, err, n)
		}
		line := errors.New("the line is down")
		broken := io.MultiReader(io.LimitReader(bytes.NewReader(page.Bytes()), 40000), iotest.ErrReader(line))
		if _, err = form.decode(broken, func(ListEntry) error { return nil }); !errors.Is(err, line) || errors.Is(err, ErrNotIndex) {
			t.Errorf("%s: reader: %v", form.name, err)
		}
		if err := WriteList(brokenWriter{line}, form.form, 0, manyProjects(10)); !errors.Is(err, line) {
			t.Errorf("%s: writer: %v", form.name, err)
		}
		if err := WriteList(brokenWriter{line}, form.form, 0, manyProjects(100000)); !errors.Is(err, line) {
			t.Errorf("%s: writer: %v", form.name, err)
		}
	}
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }
