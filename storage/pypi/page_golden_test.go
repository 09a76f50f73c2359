package pypi

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var updatePages = flag.Bool("update-pages", false, "rewrite the golden pages in testdata")

// goldenProject has a value in every field.
func goldenProject() *Project {
	return &Project{
		Name:       "holy-grail",
		Versions:   []string{"1.0", "2.0rc1"},
		Status:     Status{StatusArchived, "see <the> \"new\" home & garden"},
		Tracks:     []string{"https://pypi.org/simple/holygrail/"},
		Alternates: []string{"https://index.example/simple/holygrail/"},
		LastSerial: 27182818,
		Files: []File{{
			Filename:       "holy_grail-1.0-py3-none-any.whl",
			URL:            "https://files.example/packages/aa/holy_grail-1.0-py3-none-any.whl",
			Hashes:         Hashes{{"md5", md5A}, {"sha256", sumA}},
			RequiresPython: ">=3.8, <4",
			CoreMetadata:   CoreMetadata{true, Hashes{{"sha256", sumB}}},
			GPGSig:         No,
			Yanked:         Yanked{true, "it's <broken>"},
			Size:           1337,
			UploadTime:     time.Date(2023, 4, 5, 6, 7, 8, 90000, time.UTC),
			Provenance:     "https://pypi.org/integrity/holy-grail/v1.0/holy_grail-1.0-py3-none-any.whl/provenance",
		}, {
			Filename: "holy_grail-2.0rc1.tar.gz",
			URL:      "https://files.example/packages/bb/holy_grail-2.0rc1.tar.gz",
			Hashes:   Hashes{{"sha256", sumB}},
			GPGSig:   Yes,
			Yanked:   Yanked{Is: true},
			Size:     42, UploadTime: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC),
			CoreMetadata: CoreMetadata{Available: true},
		}, {
			Filename: "holy_grail-0.1.zip",
			URL:      "https://files.example/packages/cc/holy_grail-0.1.zip",
			Size:     SizeUnknown,
		}},
	}
}

func TestGoldenPages(t *testing.T) {
	link := func(f *File) string { return "/files/" + f.Filename }
	list := new(bytes.Buffer)
	if err := WriteList(list, FormJSON, 99, listOf("frob", 7, "holy-grail", 0)); err != nil {
		t.Fatal(err)
	}
	listHTML := new(bytes.Buffer)
	if err := WriteList(listHTML, FormHTML, 99, listOf("frob", 7, "holy-grail", 0)); err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]byte{
		"project.json": AppendProjectJSON(nil, goldenProject(), link),
		"project.html": AppendProjectHTML(nil, goldenProject(), link),
		"empty.json":   AppendProjectJSON(nil, &Project{Name: "frob"}, nil),
		"empty.html":   AppendProjectHTML(nil, &Project{Name: "frob"}, nil),
		"list.json":    list.Bytes(),
		"list.html":    listHTML.Bytes(),
	} {
		path := filepath.Join("testdata", "simple", name)
		if *updatePages {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s has changed:\n%s", name, got)
		}
	}
}

// TestPagesOfOtherIndexes reads pages in the manner of PyPI's own server and of
// others. They are written after their templates, not copied.
func TestPagesOfOtherIndexes(t *testing.T) {
	tests := []struct {
		file   string
		decode func([]byte, Name) (*Project, []Refusal, error)
		want   *Project
	}{
		{"pypi.json", decodeJSONAt(t), &Project{
			Name: "frob", Versions: []string{"1.0"}, LastSerial: 123, Status: Status{State: StatusActive},
			Files: []File{{
				Filename: "frob-1.0.tar.gz", URL: "https://files.pythonhosted.org/packages/aa/bb/frob-1.0.tar.gz",
				Hashes: Hashes{{"blake2b_256", sumB}, {"sha256", sumA}}, Size: 2048,
				UploadTime: time.Date(2020, 2, 3, 4, 5, 6, 789012000, time.UTC),
			}},
		}},
		{"pypi.html", decodeHTMLAt(t), &Project{
			Name: "frob", LastSerial: 123,
			Files: []File{{
				Filename: "frob-1.0-py3-none-any.whl", URL: "https://files.pythonhosted.org/packages/aa/bb/frob-1.0-py3-none-any.whl",
				Hashes: Hashes{{"sha256", sumA}}, Size: SizeUnknown, RequiresPython: ">=3.7",
				CoreMetadata: CoreMetadata{true, Hashes{{"sha256", sumB}}},
			}},
		}},
		{"directory.html", decodeHTMLAt(t), &Project{
			Name: "frob",
			Files: []File{
				{Filename: "frob-1.0-py3-none-any.whl", URL: "https://index.example/simple/frob/frob-1.0-py3-none-any.whl", Size: SizeUnknown},
				{Filename: "frob-1.0.tar.gz", URL: "https://index.example/simple/frob/frob-1.0.tar.gz", Size: SizeUnknown},
			},
		}},
	}
	for _, tc := range tests {
		body, err := os.ReadFile(filepath.Join("testdata", "simple", tc.file))
		if err != nil {
			t.Fatal(err)
		}
		got, refused, err := tc.decode(body, "frob")
		if err != nil || len(refused) > 0 {
			t.Errorf("%s: %v, refused %v", tc.file, err, refused)
			continue
		}
		samePages(t, tc.file, tc.want, got)
	}
}

func decodeJSONAt(t *testing.T) func([]byte, Name) (*Project, []Refusal, error) {
	return func(body []byte, want Name) (*Project, []Refusal, error) {
		return DecodeProjectJSON(body, want, mustURL(t, "https://index.example/simple/frob/"))
	}
}

func decodeHTMLAt(t *testing.T) func([]byte, Name) (*Project, []Refusal, error) {
	return func(body []byte, want Name) (*Project, []Refusal, error) {
		return DecodeProjectHTML(body, want, mustURL(t, "https://index.example/simple/frob/"))
	}
}
