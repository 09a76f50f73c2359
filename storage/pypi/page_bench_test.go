package pypi

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"time"
)

// benchProject is a page with all that PyPI states of a wheel.
func benchProject(files int) *Project {
	p := &Project{Name: "numpy", LastSerial: 123456789, Status: Status{State: StatusActive}}
	for i := range files {
		name := fmt.Sprintf("numpy-1.%d.0-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", i)
		p.Versions = append(p.Versions, fmt.Sprintf("1.%d.0", i))
		p.Files = append(p.Files, File{
			Filename: name, URL: "https://files.pythonhosted.org/packages/aa/bb/" + sumA[:60] + "/" + name,
			Hashes: Hashes{{"sha256", fmt.Sprintf("%064x", i)}}, RequiresPython: ">=3.9",
			CoreMetadata: CoreMetadata{true, Hashes{{"sha256", sumB}}}, Size: int64(18_000_000 + i),
			UploadTime: time.Date(2024, 1, 2, 3, 4, 5, 678901000, time.UTC).Add(time.Duration(i) * time.Hour),
			Provenance: "https://pypi.org/integrity/numpy/v1/" + name + "/provenance",
		})
	}
	return p
}

func BenchmarkAppendProject(b *testing.B) {
	for _, form := range []struct {
		name   string
		render func([]byte, *Project, Link) []byte
	}{{"JSON", AppendProjectJSON}, {"HTML", AppendProjectHTML}} {
		for _, files := range []int{10, 3000} {
			b.Run(fmt.Sprintf("%s/%d", form.name, files), func(b *testing.B) {
				p := benchProject(files)
				dst := form.render(nil, p, nil)
				b.SetBytes(int64(len(dst)))
				b.ReportAllocs()
				for b.Loop() {
					dst = form.render(dst[:0], p, nil)
				}
			})
		}
	}
}

func BenchmarkDecodeProject(b *testing.B) {
	p := benchProject(3000)
	b.Run("JSON/3000", func(b *testing.B) {
		body := AppendProjectJSON(nil, p, nil)
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			if _, refused, err := DecodeProjectJSON(body, "numpy", nil); err != nil || refused != nil {
				b.Fatal(err, refused)
			}
		}
	})
	b.Run("HTML/3000", func(b *testing.B) {
		body := AppendProjectHTML(nil, p, nil)
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			if _, refused, err := DecodeProjectHTML(body, "numpy", nil); err != nil || refused != nil {
				b.Fatal(err, refused)
			}
		}
	})
}

func BenchmarkList(b *testing.B) {
	const projects = 100_000
	for _, form := range listForms {
		var page bytes.Buffer
		if err := WriteList(&page, form.form, 1, manyProjects(projects)); err != nil {
			b.Fatal(err)
		}
		b.Run("Decode"+form.name+"/100000", func(b *testing.B) {
			b.SetBytes(int64(page.Len()))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := form.decode(bytes.NewReader(page.Bytes()), func(ListEntry) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("Write"+form.name+"/100000", func(b *testing.B) {
			entries := manyProjects(projects)
			b.SetBytes(int64(page.Len()))
			b.ReportAllocs()
			for b.Loop() {
				if err := WriteList(io.Discard, form.form, 1, entries); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkNegotiate(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Negotiate("application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01", "")
	}
}
