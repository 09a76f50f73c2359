package upload

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/crypto/blake2b"

	"cheeseboard/storage/pypi"
)

const (
	// maxFields bounds all that is not the file, maxField what is kept of one field,
	// and maxParts their number: a description is long, and classifiers are many.
	maxFields = 8 << 20
	maxField  = 4 << 10
	maxParts  = 4000
)

// form holds the fields that are looked at.
type form map[string]string

// looked are the fields that are looked at, each of which may be there once. The
// others repeat what is in the file, which counts.
var looked = []string{
	":action", "protocol_version", "name", "version", "filetype", "metadata_version", "requires_python",
	"md5_digest", "sha256_digest", "blake2_256_digest",
}

// brokenError says that a body ended early, or has not the form that it says.
type brokenError struct{ err error }

func (b *brokenError) Error() string { return "read upload: " + b.err.Error() }
func (b *brokenError) Unwrap() error { return b.err }

// reader reads one form.
type reader struct {
	*Handler
	parts *multipart.Reader
	left  int64 // bytes of fields that may still come
	most  int64 // bytes of the file, as far as the length of the form tells; 0: it does not
	form  form

	filename string
	content  Bytes
	sums     map[string]hash.Hash // by the field that states it
}

func (h *Handler) reader(r *http.Request, body io.Reader) (*reader, error) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" || params["boundary"] == "" || len(params["boundary"]) > 70 {
		return nil, &Refused{http.StatusUnsupportedMediaType, "An upload is a form (multipart/form-data), as twine and uv send it."}
	}
	// What stands between the parts counts too, so that nothing comes for ever.
	whole := io.LimitReader(body, h.MaxSize+2*maxFields)
	return &reader{Handler: h, parts: multipart.NewReader(whole, params["boundary"]), left: maxFields, most: max(0, min(r.ContentLength, h.MaxSize)), form: make(form)}, nil
}

// read reads all of the form. The caller closes the content, which may be there
// also with an error.
func (in *reader) read(key Key) (File, Bytes, error) {
	for n := 0; ; n++ {
		part, err := in.parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return File{}, in.content, &brokenError{err}
		}
		if n == maxParts {
			return File{}, in.content, refuse("The form has more than %d fields.", maxParts)
		}
		if err := in.part(part, key); err != nil {
			return File{}, in.content, err
		}
	}
	f, err := in.file(key)
	return f, in.content, err
}

func (in *reader) part(part *multipart.Part, key Key) error {
	_, params, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
	if err != nil {
		return &brokenError{err}
	}
	switch name := params["name"]; {
	case name == "content":
		return in.take(part, params["filename"], key)
	case name == "gpg_signature":
		return refuse("PGP signatures are not taken: nothing checks them. Upload without --sign.")
	case name == "attestations":
		return refuse("Attestations are not taken: nobody here could check them. Upload without them.")
	case slices.Contains(looked, name):
		if _, twice := in.form[name]; twice {
			return refuse("The form has the field %s twice.", name)
		}
		value, err := io.ReadAll(io.LimitReader(part, maxField+1))
		if err != nil {
			return &brokenError{err}
		}
		if len(value) > maxField {
			return refuse("The field %s of the form is too long.", name)
		}
		in.form[name] = strings.TrimSpace(string(value))
		return in.spend(int64(len(value)))
	default:
		n, err := io.Copy(io.Discard, io.LimitReader(part, in.left+1))
		if err != nil {
			return &brokenError{err}
		}
		return in.spend(n)
	}
}

func (in *reader) spend(n int64) error {
	if in.left -= n + 200; in.left < 0 { // with what names it
		return &Refused{http.StatusRequestEntityTooLarge, fmt.Sprintf("What is not the file has more than %d bytes.", maxFields)}
	}
	return nil
}

// take receives the file. What is known of it by then is checked before.
func (in *reader) take(part *multipart.Part, filename string, key Key) error {
	if in.content != nil {
		return refuse("The form has two files.")
	}
	if err := checkFilename(filename); err != nil {
		return err
	}
	in.filename = filename
	if name, known := in.form["name"]; known {
		if _, err := in.admit(name, key); err != nil {
			return err
		}
	}
	blake, err := blake2b.New256(nil)
	if err != nil {
		return err
	}
	in.sums = map[string]hash.Hash{"md5_digest": md5.New(), "sha256_digest": sha256.New(), "blake2_256_digest": blake}
	if in.content, err = in.Shelf.Receive(in.most); err != nil {
		return err
	}
	to := io.MultiWriter(in.content, in.sums["md5_digest"], in.sums["sha256_digest"], blake)
	source := &marked{Reader: io.LimitReader(part, in.MaxSize+1)}
	n, err := io.Copy(to, source)
	switch {
	case source.err != nil:
		return &brokenError{source.err}
	case err != nil:
		return err
	case n > in.MaxSize:
		return in.tooLarge()
	case n == 0:
		return refuse("The file is empty.")
	}
	return nil
}

// marked tells an error of reading from one of writing.
type marked struct {
	io.Reader
	err error
}

func (m *marked) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		m.err = err
	}
	return n, err
}

// checkFilename takes what can be a distribution's, and needs no escaping anywhere.
func checkFilename(s string) error {
	for _, c := range []byte(s) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && strings.IndexByte("._-+!", c) < 0 {
			return refuse("The file name %.80q has characters that no distribution's has.", s)
		}
	}
	if err := pypi.CheckFilename(s); err != nil {
		return refuse("The file name is no good: %v.", err)
	}
	if !strings.HasSuffix(s, ".whl") && !strings.HasSuffix(s, ".tar.gz") {
		return refuse("%s is neither a wheel (.whl) nor a source distribution (.tar.gz, PEP 625).", s)
	}
	return nil
}

// admit reads the name of the project, under which the key may upload.
func (in *reader) admit(text string, key Key) (pypi.Name, error) {
	name, err := pypi.ParseName(text)
	if err != nil {
		return "", refuse("The name of the project is no good: %v.", err)
	}
	if err := in.Shelf.Admit(name); err != nil {
		return "", err
	}
	if !key.May(name) {
		return "", &Refused{http.StatusForbidden, fmt.Sprintf("This token is not good for uploading %s.", name)}
	}
	return name, nil
}

// file checks that all parts of the form say the same.
func (in *reader) file(key Key) (f File, err error) {
	form := in.form
	switch {
	case form[":action"] != "file_upload":
		return f, refuse("The only action that is known here is file_upload.")
	case form["protocol_version"] != "" && form["protocol_version"] != "1":
		return f, refuse("The only version of the protocol that is known here is 1.")
	case in.content == nil:
		return f, refuse("The form has no file in the field content.")
	}
	if f.Name, err = in.admit(form["name"], key); err != nil {
		return f, err
	}
	version, err := pypi.ParseVersion(form["version"])
	if err != nil {
		return f, refuse("The version is no good: %v.", err)
	}
	stated, kind, err := pypi.DistributionVersion(f.Name, in.filename)
	if err != nil {
		return f, refuse("The file name does not go with the project %s: %v.", f.Name, err)
	}
	if stated.Compare(version) != 0 {
		return f, refuse("The form says version %s, the file name %s.", version, stated)
	}
	want := map[pypi.DistributionKind]string{pypi.KindWheel: "bdist_wheel", pypi.KindSdist: "sdist"}[kind]
	if want == "" || form["filetype"] != want {
		return f, refuse("The form says that %s is a %.40q, by its name it is a %.40q.", in.filename, form["filetype"], want)
	}
	f.Filename, f.By, f.form = in.filename, key.Name, form
	return f, in.prove(&f)
}

// prove compares the digests that the form states with those of the bytes.
func (in *reader) prove(f *File) error {
	some := false
	for field, sum := range in.sums {
		got := hex.EncodeToString(sum.Sum(nil))
		stated := in.form[field]
		some = some || stated != ""
		if stated != "" && !strings.EqualFold(stated, got) {
			return refuse("The bytes do not have the %s that the form states: they were changed on their way.", field)
		}
	}
	if !some {
		return refuse("The form states no digest (sha256_digest).")
	}
	sum := in.sums["sha256_digest"].Sum(nil)
	copy(f.Digest[:], sum)
	f.Hashes = pypi.Hashes{{Algorithm: "sha256", Hex: hex.EncodeToString(sum)}}
	return nil
}

// Agrees compares core metadata, as they stand in the file, with the form that
// came with it: *Refused where they say two things.
func (f File) Agrees(metadata []byte) error {
	in := make(map[string]string)
	for _, field := range pypi.MetadataFields(metadata) {
		switch field.Key {
		case "metadata-version", "requires-python":
			in[field.Key] = field.Value
		}
	}
	if stated := f.form["metadata_version"]; stated != "" && stated != in["metadata-version"] {
		return refuse("The form says metadata of version %.40q, the file %.40q.", stated, in["metadata-version"])
	}
	bare := func(s string) string { return strings.Join(strings.Fields(s), "") }
	if stated := f.form["requires_python"]; bare(stated) != bare(in["requires-python"]) {
		return refuse("The form says requires_python %.80q, the file %.80q.", stated, in["requires-python"])
	}
	return nil
}
