package httpapi

import (
	"fmt"
	"net/http"
)

// Role says how much a caller may do.
type Role uint8

// The roles, each of which may do what those before it may.
const (
	// Viewer sees everything but secrets.
	Viewer Role = iota
	// Operator also changes, sends and reveals.
	Operator
)

// ParseRole reads the word for a role.
func ParseRole(word string) (Role, error) {
	switch word {
	case "viewer":
		return Viewer, nil
	case "operator":
		return Operator, nil
	}
	return Viewer, fmt.Errorf("a role is viewer or operator, not %.32q", word)
}

// String is the word for the role.
func (r Role) String() string {
	if r == Operator {
		return "operator"
	}
	return "viewer"
}

// Access is who calls and what that caller may see and do. The zero value may look at everything and change nothing.
type Access struct {
	// Name says who it is, for the audit log: the id of a token, the name of a user. It is not shown to others.
	Name string
	// Tenant limits the caller to one tenant, of which it sees the endpoints, events and deliveries and nothing else. Empty: no
	// limit.
	Tenant string
	Role   Role
}

// Full is the access of who is in charge of the gateway.
func Full(name string) Access { return Access{Name: name, Role: Operator} }

// permits tells whether the caller may use a route; nil if so.
func (a *Access) permits(rt *route) *Problem {
	switch {
	case rt.needs > a.Role:
		return &Problem{Status: http.StatusForbidden, Detail: "this needs the role " + rt.needs.String() + ", and the caller is a " + a.Role.String()}
	case rt.global && a.Tenant != "":
		return &Problem{Status: http.StatusForbidden, Detail: "this is for callers that are not limited to a tenant"}
	}
	return nil
}
