package pypi

import "testing"

func TestDistributionVersion(t *testing.T) {
	for _, test := range []struct {
		name     Name
		filename string
		kind     DistributionKind
		version  string // "" where it cannot be told
	}{
		{"requests", "requests-2.31.0-py3-none-any.whl", KindWheel, "2.31.0"},
		{"requests", "requests-2.31.0.tar.gz", KindSdist, "2.31.0"},
		{"zope-interface", "zope.interface-6.1.tar.gz", KindSdist, "6.1"},
		{"zope-interface", "zope-interface-6.1-1.zip", KindSdist, "6.1.post1"},
		{"foo-2", "foo-2-1.0-beta.tar.bz2", KindSdist, "1.0b0"},
		{"foo", "foo-2-1.0.tgz", KindSdist, ""},
		{"pytz", "pytz-2004d.tar.gz", KindSdist, ""},
		{"pytz", "pytz-2023.3-py2.7.egg", KindOther, "2023.3"},
		{"lxml", "lxml-3.4.4.win-amd64-py2.7.exe", KindOther, "3.4.4"},
		{"lxml", "lxml-3.4.4.win32-py2.7.msi", KindOther, "3.4.4"},
		{"lxml", "lxml-3.4.4.linux-x86_64.tar.gz", KindOther, "3.4.4"},
		{"lxml", "lxml-3.4.4.macosx-10.9-x86_64.tar.gz", KindOther, "3.4.4"},
		{"foo", "foo-1.0-2.noarch.rpm", KindOther, "1.0"},
		{"foo", "foo-1.0-1_all.deb", KindOther, "1.0"},
		{"foo", "foo-x.rpm", KindOther, ""},
		{"foo", "bar-1.0.tar.gz", KindSdist, ""},
		{"foo", "bar-1.0-py3-none-any.whl", KindWheel, ""},
		{"foo", "foo-1.0-py3.whl", KindWheel, ""},
		{"foo", "foo-1.0.tar.gz.asc", KindOther, ""},
		{"foo", "foo", KindOther, ""},
		{"foo", "", KindOther, ""},
	} {
		version, kind, err := DistributionVersion(test.name, test.filename)
		if version.String() != test.version || kind != test.kind || (err != nil) != (test.version == "") {
			t.Errorf("%s is a %s of version %q, %v; want a %s of %q",
				test.filename, kind, version, err, test.kind, test.version)
		}
	}
}
