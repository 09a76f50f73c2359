package pypi

import (
	"strings"
	"testing"
	"time"
)

func TestUploadTimes(t *testing.T) {
	for in, want := range map[string]string{
		"2024-05-06T07:08:09Z":                                 "2024-05-06T07:08:09Z",
		"2024-05-06T07:08:09.000000Z":                          "2024-05-06T07:08:09Z",
		"2024-05-06T07:08:09.000001Z":                          "2024-05-06T07:08:09.000001Z",
		"2024-05-06T07:08:09.1Z":                               "2024-05-06T07:08:09.100000Z",
		"2024-05-06T07:08:09.9999999Z":                         "2024-05-06T07:08:09.999999Z",
		"2024-05-06T00:08:09.5-07:00":                          "2024-05-06T07:08:09.500000Z",
		"2024-05-06T07:08:09":                                  "2024-05-06T07:08:09Z",
		"2024-05-06 07:08:09.25":                               "2024-05-06T07:08:09.250000Z",
		"1969-12-31T23:59:59.999999Z":                          "1969-12-31T23:59:59.999999Z",
		"9999-12-31T23:59:59.999999Z":                          "9999-12-31T23:59:59.999999Z",
		"2024-02-30T00:00:00Z":                                 "",
		"2024-13-01T00:00:00Z":                                 "",
		"2024-01-00T00:00:00Z":                                 "",
		"2024-01-01T24:00:00Z":                                 "",
		"2024-01-01T00:00:60Z":                                 "",
		"2024-01-01T00:00:0xZ":                                 "",
		"2024-01-01T00:00:00,123456Z":                          "2024-01-01T00:00:00.123456Z",
		"9999-12-31T23:59:59-01:00":                            "",
		"0000-06-01T00:00:00Z":                                 "",
		"2024-01-01":                                           "",
		"1704067200":                                           "",
		"2024-05-06T07:08:09." + strings.Repeat("1", 40) + "Z": "",
	} {
		got, err := parseUploadTime(in)
		if (err != nil) != (want == "") {
			t.Errorf("%s: %v, %v", in, got, err)
			continue
		}
		if text, _ := appendUploadTime(nil, got); string(text) != want {
			t.Errorf("%s: %s, want %s", in, text, want)
		}
	}
}

func TestUploadTimesThatCannotBeWritten(t *testing.T) {
	for _, when := range []time.Time{{}, time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC)} {
		p := with(func(f *File) { f.UploadTime = when })
		if body := string(AppendProjectJSON(nil, p, nil)); strings.Contains(body, "upload-time") {
			t.Errorf("%v is written: %s", when, body)
		}
	}
	// Another zone is written in UTC.
	p := with(func(f *File) { f.UploadTime = time.Date(2024, 1, 1, 1, 0, 0, 999, time.FixedZone("CET", 3600)) })
	if body := string(AppendProjectJSON(nil, p, nil)); !strings.Contains(body, `"upload-time":"2024-01-01T00:00:00Z"`) {
		t.Error(body)
	}
}

func TestCarriesName(t *testing.T) {
	for _, tc := range []struct {
		filename string
		name     Name
		want     bool
	}{
		{"frob-1.0.tar.gz", "frob", true},
		{"FROB_1.0.tar.gz", "frob", true},
		{"Holy.._Grail-1.0-py3-none-any.whl", "holy-grail", true},
		{"holygrail-1.0.zip", "holy-grail", false},
		{"frobber-1.0.tar.gz", "frob", false},
		{"frob", "frob", false},
		{"fro", "frob", false},
		{"", "frob", false},
	} {
		if got := carriesName(tc.filename, tc.name); got != tc.want {
			t.Errorf("%s, %s: %v", tc.filename, tc.name, got)
		}
	}
}

func TestStatesAreWords(t *testing.T) {
	for status, want := range map[string]Status{
		`"archived"`:                                   {State: "archived"},
		`{"status":"x-new","reason":"a\nb"}`:           {State: "x-new", Reason: "a\nb"},
		`{"status":null,"reason":"why"}`:               {},
		`{"reason":"why"}`:                             {},
		`{"status":7}`:                                 {},
		`{"status":"a\nb"}`:                            {},
		`{"status":"` + strings.Repeat("x", 65) + `"}`: {},
		`{"status":"archived","reason":"` + strings.Repeat("x", maxTextLength) + `y"}`: {State: "archived"},
		`17`:   {},
		`null`: {},
	} {
		body := `{"meta":{"api-version":"1.4"},"name":"frob","files":[],"project-status":` + status + `}`
		p, _, err := DecodeProjectJSON([]byte(body), "frob", nil)
		if err != nil || p.Status != want {
			t.Errorf("%.100s: %.100v, %v", status, p, err)
		}
	}
}

func TestLongNamesAreCutInRefusals(t *testing.T) {
	entry := `{"filename":"` + strings.Repeat("ü", 150) + `","url":"https://f.example/a"}`
	_, refused, err := DecodeProjectJSON([]byte(jsonPageOf(entry)), "frob", nil)
	if err != nil || len(refused) != 1 || refused[0].Filename != strings.Repeat("ü", 100) {
		t.Errorf("%v, %v", refused, err)
	}
}
