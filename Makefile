.PHONY: check test lint bench api

check: ## everything the gate runs
	.ci/run

test:
	go test -race -shuffle=on ./...

lint:
	go tool -modfile=tools/go.mod golangci-lint run ./...

bench:
	go test -run '^$$' -bench . -benchmem .

api: ## write the exported surface down, after a change that is meant
	go test -run TestSurface -update .
