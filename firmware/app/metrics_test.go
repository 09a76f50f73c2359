package app_test

import (
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
)

// scrape reads the metrics as Prometheus does: value by name and labels.
func (o *office) scrape() map[string]float64 {
	o.t.Helper()
	w := httptest.NewRecorder()
	o.Handler().ServeHTTP(w, httptest.NewRequest("GET", "http://box.example/metrics", nil))
	var parser expfmt.TextParser
	families, err := parser.TextToMetricFamilies(w.Body)
	if err != nil || w.Code != 200 {
		o.t.Fatalf("%d %v", w.Code, err)
	}
	out := make(map[string]float64)
	for name, f := range families {
		if f.GetHelp() == "" || !strings.HasPrefix(name, "cheeseboard_") || (f.GetType().String() == "COUNTER") != strings.HasSuffix(name, "_total") {
			o.t.Errorf("%s is a %s: %q", name, f.GetType(), f.GetHelp())
		}
		for _, m := range f.Metric {
			key := name
			for _, l := range m.Label {
				key += " " + l.GetName() + "=" + l.GetValue()
			}
			out[key] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return out
}

func TestMetrics(t *testing.T) {
	public, corp := publish(t, "requests 2.0", "idna 3.0"), publish(t, "corp-tools 1.0")
	o := newOffice(t, public, corp, "requests", "idna", "corp-tools")
	before := o.scrape()
	for _, name := range []string{"cheeseboard_sync_last_success_timestamp_seconds index=", "cheeseboard_line_month_limit_bytes"} {
		if v, is := before[name]; is {
			t.Errorf("%s is %v before there is one", name, v)
		}
	}
	begun := time.Now().Unix()
	sum := o.sync()
	o.want("/simple/requests/", 200)
	o.want("/simple/", 200)
	o.want("/nothing", 404)
	after := o.scrape()
	for key, want := range map[string]float64{
		"cheeseboard_store_projects": 3, "cheeseboard_store_files": 3, "cheeseboard_store_bytes": float64(sum.Bytes), "cheeseboard_store_cached_bytes": 0,
		"cheeseboard_store_partials": 0, "cheeseboard_store_lost_files": 0,
		"cheeseboard_line_up index=": 1, "cheeseboard_line_up index=corp": 1, "cheeseboard_line_state index=corp state=well": 1, "cheeseboard_line_state index= state=no-route": 0,
		"cheeseboard_sync_selected index=": 2, "cheeseboard_sync_selected index=corp": 1, "cheeseboard_sync_running index=": 0, "cheeseboard_sync_problems index=": 0,
		"cheeseboard_wishes index=": 0, "cheeseboard_health probe=storage": 0,
		"cheeseboard_http_responses_total code=2xx": 3, "cheeseboard_http_responses_total code=4xx": 1, "cheeseboard_http_responses_total code=5xx": 0,
	} {
		if got, is := after[key]; !is || got != want {
			t.Errorf("%s is %v (%t), want %v", key, got, is, want)
		}
	}
	for key, least := range map[string]float64{
		"cheeseboard_upstream_received_bytes_total index=": 1000, "cheeseboard_upstream_received_bytes_total index=corp": 1000, "cheeseboard_line_month_bytes": 2000,
		"cheeseboard_sync_last_success_timestamp_seconds index=": float64(begun), "cheeseboard_sync_last_success_timestamp_seconds index=corp": float64(begun),
		"cheeseboard_disk_free_bytes": 1, "cheeseboard_start_time_seconds": 1e9, "cheeseboard_line_changes_total index=": 1, "cheeseboard_http_response_bytes_total": 100,
	} {
		if got := after[key]; got < least {
			t.Errorf("%s is %v, want %v at least", key, got, least)
		}
	}
	if build := slices.Sorted(maps.Keys(after)); !slices.ContainsFunc(build, func(k string) bool {
		return strings.HasPrefix(k, "cheeseboard_build_info ") && strings.Contains(k, "version=")
	}) {
		t.Error("nothing says which program runs")
	}
	if err := public.Kill(); err != nil {
		t.Fatal(err)
	}
	o.ask("/simple/unheard-of/")
	if down := o.scrape(); down["cheeseboard_line_up index="] != 0 || down["cheeseboard_line_up index=corp"] != 1 || down["cheeseboard_line_changes_total index="] <= after["cheeseboard_line_changes_total index="] {
		t.Errorf("the line of one index is down: %v", down)
	}
}
