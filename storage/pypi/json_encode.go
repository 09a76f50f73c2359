package pypi

import (
	"strconv"
	"unicode/utf8"
)

// AppendProjectJSON appends the project's page in its JSON form (PEP 691, API
// 1.4) and returns the extended slice.
//
// What is not stated is left out; nothing of ours is ever null, and `dist-info-metadata`
// is never written, for some releases of pip fail on either. `files` and
// `versions` are always arrays. The versions are written as p states them: where
// an index states none, deriving them from the file names is the caller's work.
// A quarantined project is written without files (PEP 792). Unknown members are
// written as they came.
func AppendProjectJSON(dst []byte, p *Project, link Link) []byte {
	return projectJSON(dst, p, FilesOf(p), link, nil)
}

func projectJSON(dst []byte, p *Project, files Files, link Link, out *pieces) []byte {
	dst = append(dst, `{"meta":{"api-version":"`+APIVersion+`"`...)
	if p.LastSerial > 0 {
		dst = strconv.AppendInt(append(dst, `,"_last-serial":`...), p.LastSerial, 10)
	}
	if len(p.Tracks) > 0 {
		dst = appendJSONStrings(append(dst, `,"tracks":`...), p.Tracks)
	}
	dst = appendUnknown(dst, p.InMeta)
	dst = appendJSONString(append(dst, `},"name":`...), string(p.Name))
	if p.Status.State != "" {
		dst = appendJSONString(append(dst, `,"project-status":{"status":`...), p.Status.State)
		if p.Status.Reason != "" {
			dst = appendJSONString(append(dst, `,"reason":`...), p.Status.Reason)
		}
		dst = append(dst, '}')
	}
	if len(p.Alternates) > 0 {
		dst = appendJSONStrings(append(dst, `,"alternate-locations":`...), p.Alternates)
	}
	if len(p.Notes) > 0 {
		dst = appendJSONStrings(append(dst, `,"_notes":`...), p.Notes)
	}
	dst = appendUnknown(dst, p.Unknown)
	dst = appendJSONStrings(append(dst, `,"versions":`...), p.Versions)
	dst = append(dst, `,"files":[`...)
	first := true
	for f, err := range offered(p, files) {
		if err != nil {
			out.fail(err)
			break
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = out.take(appendJSONFile(dst, f, link))
	}
	return append(dst, `]}`...)
}

func appendJSONFile(dst []byte, f *File, link Link) []byte {
	dst = appendJSONString(append(dst, `{"filename":`...), f.Filename)
	dst = appendJSONString(append(dst, `,"url":`...), link.url(f))
	dst = appendJSONHashes(append(dst, `,"hashes":`...), f.Hashes)
	if f.RequiresPython != "" {
		dst = appendJSONString(append(dst, `,"requires-python":`...), f.RequiresPython)
	}
	if f.CoreMetadata.Available {
		dst = append(dst, `,"core-metadata":`...)
		if len(f.CoreMetadata.Hashes) > 0 {
			dst = appendJSONHashes(dst, f.CoreMetadata.Hashes)
		} else {
			dst = append(dst, `true`...)
		}
	}
	if f.GPGSig != Unstated {
		dst = strconv.AppendBool(append(dst, `,"gpg-sig":`...), f.GPGSig == Yes)
	}
	if f.Yanked.Is {
		dst = append(dst, `,"yanked":`...)
		if f.Yanked.Reason != "" {
			dst = appendJSONString(dst, f.Yanked.Reason)
		} else {
			dst = append(dst, `true`...)
		}
	}
	if f.Size >= 0 {
		dst = strconv.AppendInt(append(dst, `,"size":`...), f.Size, 10)
	}
	dst = appendJSONTime(dst, f)
	if f.Provenance != "" {
		dst = appendJSONString(append(dst, `,"provenance":`...), f.Provenance)
	}
	return append(appendUnknown(dst, f.Unknown), '}')
}

func appendJSONTime(dst []byte, f *File) []byte {
	if f.UploadTime.IsZero() {
		return dst
	}
	start := len(dst)
	dst = append(dst, `,"upload-time":"`...)
	dst, ok := appendUploadTime(dst, f.UploadTime)
	if !ok {
		return dst[:start]
	}
	return append(dst, '"')
}

func appendJSONHashes(dst []byte, hashes Hashes) []byte {
	dst = append(dst, '{')
	for i, h := range hashes {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendJSONString(dst, h.Algorithm)
		dst = appendJSONString(append(dst, ':'), h.Hex)
	}
	return append(dst, '}')
}

func appendJSONStrings(dst []byte, list []string) []byte {
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendJSONString(dst, s)
	}
	return append(dst, ']')
}

// appendJSONString appends s as a JSON string. Runs that need no escape, which
// is nearly all of every page, are copied at once. A byte that is not UTF-8
// becomes U+FFFD.
func appendJSONString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	done := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(append(dst, s[done:i]...), "\uFFFD"...)
				done = i + 1
			}
			i += n
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[done:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			const digits = "0123456789abcdef"
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
		i++
		done = i
	}
	return append(append(dst, s[done:]...), '"')
}
