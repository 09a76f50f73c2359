package health

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestVerdict(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	b := &Board{Now: func() time.Time { return now }}
	if v := b.Verdict(); v.Severity != OK || v.Summary == "" {
		t.Errorf("an empty board says %+v", v)
	}
	disk, line := Finding{Summary: "disk fine"}, Finding{Summary: "line fine"}
	b.Add("disk", func() Finding { return disk })
	b.Add("line", func() Finding { return line })
	if v := b.Verdict(); v.Severity != OK || v.Since != now || len(v.Probes) != 2 {
		t.Errorf("all well says %+v", v)
	}
	began := now.Add(time.Minute)
	now = began
	line = Finding{Severity: Reduced, Summary: "no line", Action: "look at the cable"}
	if v := b.Verdict(); v.Severity != Reduced || v.Summary != "no line" || v.Action != "look at the cable" || v.Since != began {
		t.Errorf("a reduced line says %+v", v)
	}
	now = now.Add(time.Minute)
	if v := b.Verdict(); v.Since != began {
		t.Errorf("since %s, want %s", v.Since, began)
	}
	disk = Finding{Severity: Failed, Summary: "disk broken"}
	v := b.Verdict()
	if v.Severity != Failed || v.Summary != "disk broken" || v.Since != now {
		t.Errorf("a broken disk says %+v", v)
	}
	raw, err := json.Marshal(v)
	if err != nil || !strings.Contains(string(raw), `"status":"failed"`) || !strings.Contains(string(raw), `"name":"line"`) {
		t.Errorf("%s (%v)", raw, err)
	}
	var back Verdict
	if err := json.Unmarshal(raw, &back); err != nil || back.Severity != Failed || back.Probes[1].Severity != Reduced {
		t.Errorf("read back: %+v (%v)", back, err)
	}
}

// TestNotMeasured: a probe that cannot tell is shown as such, and changes no verdict.
func TestNotMeasured(t *testing.T) {
	b := &Board{}
	b.Add("sensor", func() Finding { return Finding{Severity: NotMeasured, Summary: "not measured: no sensor"} })
	if v := b.Verdict(); v.Severity != OK || v.Summary != "all well" || !v.Since.IsZero() {
		t.Errorf("a probe that cannot tell makes %+v", v)
	}
	b.Add("disk", func() Finding { return Finding{Severity: Attention, Summary: "nearly full"} })
	v := b.Verdict()
	if v.Severity != Attention || v.Since.IsZero() || v.Probes[0].Severity != NotMeasured {
		t.Errorf("%+v", v)
	}
	raw, err := json.Marshal(v)
	if err != nil || !strings.Contains(string(raw), `"name":"sensor","severity":"not measured"`) {
		t.Errorf("%s (%v)", raw, err)
	}
	var back Verdict
	if err := json.Unmarshal(raw, &back); err != nil || back.Probes[0].Severity != NotMeasured {
		t.Errorf("read back: %+v (%v)", back, err)
	}
}
