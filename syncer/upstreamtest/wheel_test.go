package upstreamtest

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/csv"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var wheels = []Wheel{
	{Name: "brie", Version: "1.0"},
	{Name: "Whey.Tools", Version: "2024.1+cu12", Requires: []string{`curd[press]>=2; extra == "aged"`}, Extras: []string{"aged"}, RequiresPython: ">=3.6, !=3.7.0"},
	{Name: "gorgonzola", Version: "1!3.1", BuildTag: "2", Tags: "cp311.cp312-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64", Payload: 70_000},
	{Name: "two", Version: "1", Modules: map[string]string{"two/a.py": "a = 1\n", "two/b/c.py": "c = 3\n", "two/__init__.py": ""}},
}

func TestWheelIsTheSameEachTime(t *testing.T) {
	for _, w := range wheels {
		first, err := w.Build()
		must(t, err)
		second, err := w.Build()
		must(t, err)
		if !bytes.Equal(first, second) {
			t.Errorf("%s: two builds differ", w.Filename())
		}
		w.Seed++
		other, err := w.Build()
		must(t, err)
		if w.Payload > 0 && bytes.Equal(first, other) {
			t.Errorf("%s: another seed gives the same bytes", w.Filename())
		}
	}
}

func TestWheelFilenames(t *testing.T) {
	want := []string{
		"brie-1.0-py3-none-any.whl",
		"whey_tools-2024.1+cu12-py3-none-any.whl",
		"gorgonzola-1!3.1-2-cp311.cp312-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
		"two-1-py3-none-any.whl",
	}
	for i, w := range wheels {
		if got := w.Filename(); got != want[i] {
			t.Errorf("Filename() = %q, want %q", got, want[i])
		}
	}
}

func TestWheelRecordHolds(t *testing.T) {
	for _, w := range wheels {
		content, err := w.Build()
		must(t, err)
		files := unzip(t, content)
		var record string
		for name := range files {
			if strings.HasSuffix(name, ".dist-info/RECORD") {
				record = name
			}
		}
		rows, err := csv.NewReader(strings.NewReader(files[record])).ReadAll()
		must(t, err)
		if len(rows) != len(files) {
			t.Errorf("%s: RECORD has %d rows for %d files", w.Filename(), len(rows), len(files))
		}
		for _, row := range rows {
			text, ok := files[row[0]]
			sum := sha256.Sum256([]byte(text))
			want := []string{row[0], "sha256=" + base64.RawURLEncoding.EncodeToString(sum[:]), strconv.Itoa(len(text))}
			if row[0] == record {
				want = []string{record, "", ""}
			}
			if !ok || row[1] != want[1] || row[2] != want[2] {
				t.Errorf("%s: RECORD says %q, want %q", w.Filename(), row, want)
			}
		}
		dir := strings.TrimSuffix(record, "RECORD")
		if files[dir+"METADATA"] != string(w.Metadata()) {
			t.Errorf("%s: METADATA in the wheel is not Metadata()", w.Filename())
		}
	}
}

func TestWheelFileListsEveryTag(t *testing.T) {
	content, err := wheels[2].Build()
	must(t, err)
	text := unzip(t, content)["gorgonzola-1!3.1.dist-info/WHEEL"]
	for _, line := range []string{
		"Root-Is-Purelib: false", "Build: 2",
		"Tag: cp311-abi3-manylinux_2_17_x86_64", "Tag: cp311-abi3-manylinux2014_x86_64",
		"Tag: cp312-abi3-manylinux_2_17_x86_64", "Tag: cp312-abi3-manylinux2014_x86_64",
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("WHEEL has no line %q:\n%s", line, text)
		}
	}
}

func TestWheelRefusesWhatIsNone(t *testing.T) {
	for _, w := range []Wheel{
		{Name: "-x", Version: "1"}, {Name: "x", Version: ""}, {Name: "x", Version: "1/2"},
		{Name: "x", Version: "1", Tags: "py3"},
	} {
		if _, err := w.Build(); err == nil {
			t.Errorf("%+v was built", w)
		}
	}
}

// TestPythonReadsWheels has Python's own zipfile check every entry of every wheel.
func TestPythonReadsWheels(t *testing.T) {
	python := findPython(t)
	dir := t.TempDir()
	for _, w := range wheels {
		content, err := w.Build()
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, w.Filename()), content, 0o644))
	}
	script := "import sys, zipfile, glob\n" +
		"for p in glob.glob(sys.argv[1] + '/*.whl'):\n" +
		"    z = zipfile.ZipFile(p)\n" +
		"    assert z.testzip() is None, p\n" +
		"    assert all(i.date_time == (1980, 1, 1, 0, 0, 0) for i in z.infolist()), p\n" +
		"    assert not any(i.flag_bits & 8 for i in z.infolist()), p\n" +
		"    print(p)\n"
	out, err := exec.CommandContext(testContext(t), python, "-c", script, dir).CombinedOutput()
	if err != nil || strings.Count(string(out), ".whl") != len(wheels) {
		t.Errorf("python: %v\n%s", err, out)
	}
}

func TestSdist(t *testing.T) {
	d := Sdist{Name: "Whey.Tools", Version: "0.1", Requires: []string{"curd>=2"}, RequiresPython: ">=3.6", Payload: 5000}
	first, err := d.Build()
	must(t, err)
	second, err := d.Build()
	must(t, err)
	if !bytes.Equal(first, second) {
		t.Error("two builds differ")
	}
	gz, err := gzip.NewReader(bytes.NewReader(first))
	must(t, err)
	files := map[string]string{}
	for tr := tar.NewReader(gz); ; {
		header, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		text, err := io.ReadAll(tr)
		must(t, err)
		files[header.Name] = string(text)
	}
	if files["whey_tools-0.1/PKG-INFO"] != string(d.Metadata()) || len(files["whey_tools-0.1/whey_tools/payload.bin"]) != 5000 {
		t.Errorf("the files are wrong: %d of them", len(files))
	}
	if setup := files["whey_tools-0.1/setup.py"]; !strings.Contains(setup, `install_requires=["curd>=2", ]`) {
		t.Errorf("setup.py: %s", setup)
	}
	if d.Filename() != "whey_tools-0.1.tar.gz" {
		t.Errorf("Filename() = %q", d.Filename())
	}
}

func unzip(t *testing.T, content []byte) map[string]string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	must(t, err)
	files := map[string]string{}
	for _, entry := range z.File {
		r, err := entry.Open()
		must(t, err)
		text, err := io.ReadAll(r)
		must(t, err)
		files[entry.Name] = string(text)
	}
	return files
}

// findPython skips the test where there is no Python.
func findPython(t *testing.T) string {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3 in PATH")
	}
	return python
}
