package client_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/client"
)

func TestOptionsAreCheckedAtTheirBounds(t *testing.T) {
	good := []client.Options{
		{},
		{Timeout: 30 * time.Second, AttemptTimeout: 30 * time.Second},
		{Timeout: time.Nanosecond},
		{By: strings.Repeat("x", 255), Consistency: registry.Local},
	}
	for _, opts := range good {
		if err := opts.Validate(); err != nil {
			t.Errorf("%+v: %v", opts, err)
		}
	}
	for _, test := range []struct {
		opts client.Options
		want string
	}{
		{client.Options{Timeout: 30*time.Second + 1}, "timeout is"},
		{client.Options{Timeout: -1}, "timeout is"},
		{client.Options{AttemptTimeout: -1}, "attempt timeout is"},
		{client.Options{Timeout: time.Second, AttemptTimeout: time.Second + 1}, "attempt timeout is"},
		{client.Options{By: strings.Repeat("x", 256)}, "by is"},
		{client.Options{By: "a\nb"}, "by is"},
		{client.Options{By: "ö"}, "by is"},
		{client.Options{Consistency: registry.Local + 1}, "consistency is"},
	} {
		err := test.opts.Validate()
		if !errors.Is(err, registry.ErrInvalid) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: got %v, want invalid with %q", test.opts, err, test.want)
		}
	}
}

func TestEveryFaultOfTheOptionsIsNamed(t *testing.T) {
	_, err := client.Dial([]string{"a:1"}, client.Options{Timeout: time.Hour, AttemptTimeout: -1, By: "\x00", Consistency: 9})
	if !errors.Is(err, registry.ErrInvalid) {
		t.Fatalf("got %v, want invalid", err)
	}
	for _, want := range []string{"timeout is 1h", "attempt timeout is -1ns", `by is "\x00"`, "consistency is 9"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not say %q", err, want)
		}
	}
}

func TestServersAreChecked(t *testing.T) {
	fifteen := make([]string, 15)
	for i := range fifteen {
		fifteen[i] = fmt.Sprintf("10.0.0.%d:7700", i+1)
	}
	for _, good := range [][]string{{"127.0.0.1:7700"}, {"[::1]:1", "host.example:65535"}, fifteen} {
		c, err := client.Dial(good, client.Options{})
		if err != nil {
			t.Errorf("%v: %v", good, err)
			continue
		}
		c.Close()
	}
	for _, bad := range [][]string{
		nil, append(fifteen, "10.0.0.16:7700"),
		{"127.0.0.1"},
		{":7700"},
		{"h:0"},
		{"h:65536"},
		{"h:http"},
		{""},
		{"h:1", "h:1"},
		{"h\n:1"},
		{strings.Repeat("h", 254) + ":1"},
	} {
		if _, err := client.Dial(bad, client.Options{}); !errors.Is(err, registry.ErrInvalid) {
			t.Errorf("%.3v: got %v, want invalid", bad, err)
		}
	}
	_, err := client.Dial([]string{"h", "i:0", "j:1", "j:1"}, client.Options{})
	for _, want := range []string{`"h"`, `"i:0"`, `"j:1" is listed twice`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not say %s", err, want)
		}
	}
}
