package pypi

import (
	"fmt"
	"strings"
	"testing"
)

func TestMetadataFields(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"Name: A\nVersion: 1\n\nThe *body*.\n\nMore.\n", "name=A|version=1|description=The *body*.\n\nMore.\n"},
		{"Summary: one\n  two\r\nAuthor-Email: x@y\r\n\r\nBody", "summary=one two|author-email=x@y|description=Body"},
		{"Description: first\n       |  second\n       |\n        third\nName: A", "description=first\n  second\n\nthird|name=A"},
		{"Classifier: a\nClassifier: b\n\n", "classifier=a|classifier=b"},
		{"Keywords: \xff\xfe\n", "keywords=\ufffd"},
		{"no field", ""},
		{"", ""},
		{"\ufeffName: A\n", "name=A"},
	} {
		var got []string
		for _, f := range MetadataFields([]byte(c.text)) {
			got = append(got, f.Key+"="+f.Value)
		}
		if s := strings.Join(got, "|"); s != c.want {
			t.Errorf("%q gives %q, want %q", c.text, s, c.want)
		}
	}
	var long strings.Builder
	for i := range maxMetadataLines + 10 {
		fmt.Fprintf(&long, "Classifier: %d\n", i)
	}
	if n := len(MetadataFields([]byte(long.String()))); n != maxMetadataLines {
		t.Errorf("%d fields are read", n)
	}
}
