"""Who may ask: hosts, origins, tokens; what a server answers to paths that lead elsewhere, and to too much."""

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from guided_jax.annotate.files.gallery import open_folder
from guided_jax.annotate.web import app as app_module
from guided_jax.annotate.web.security import COOKIE, is_loopback
from guided_jax.annotate.web.server import make_server

OWN, SOCKET = "http://localhost:8090", "ws://localhost:8090/socket"
HELLO = {"type": "hello", "session": "", "tab": "a", "new": False}


@pytest.fixture
def make_client(images, tmp_path, base):
    """A client of a server that is bound to a host, and the token in its address."""
    clients = []

    def make(host="127.0.0.1"):
        served = make_server(open_folder(images), base, tmp_path / "work", model="tiny", host=host, port=8090)
        clients.append(TestClient(served.app, base_url=OWN))
        return clients[-1].__enter__(), served.address.partition("token=")[2]

    yield make
    for client in clients:
        client.__exit__()


@pytest.fixture
def client(make_client):
    return make_client()[0]


@pytest.fixture
def session(client):
    with client.websocket_connect(SOCKET, headers={"origin": OWN}) as socket:
        socket.send_json(HELLO)
        yield socket.receive_json()["session"]


@pytest.mark.parametrize(
    ("host", "own"), [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True)]
)
def test_what_is_reached_from_this_machine_alone(host, own):
    assert is_loopback(host) is own and not is_loopback("0.0.0.0") and not is_loopback("example.org")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8090", "localhost.evil.example", "10.0.0.1", "localhost:x", ""]
)
def test_another_name_of_the_host_is_refused(client, host):
    assert client.get("/", headers={"host": host}).status_code == 421
    with pytest.raises(WebSocketDisconnect):
        client.websocket_connect(SOCKET, headers={"host": host, "origin": f"http://{host}"}).__enter__()


@pytest.mark.parametrize("host", ["localhost:8090", "127.0.0.1:9999", "[::1]:8090", "LOCALHOST"])
def test_names_of_this_machine_are_taken_whatever_the_port_of_a_tunnel(client, host):
    assert client.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin", [None, "null", "http://evil.example", "https://localhost:8090", "http://localhost:8091"]
)
def test_a_socket_or_a_change_from_elsewhere_is_refused(client, origin):
    headers = {} if origin is None else {"origin": origin}
    with pytest.raises(WebSocketDisconnect):
        client.websocket_connect(SOCKET, headers=headers).__enter__()
    for path in ("/upload", "/import"):
        assert client.post(path, headers=headers, content=b"x").status_code == 403
    if origin:
        assert client.get("/image", headers=headers).status_code == 403


def test_another_site_may_link_to_the_page_and_nothing_else(client):
    across = {"sec-fetch-site": "cross-site"}
    assert client.get("/", headers=across).status_code == 200
    for path in ("/image?name=1.png", "/scripts/main.js", "/export/masks"):
        assert client.get(path, headers=across).status_code == 403


def test_every_answer_forbids_what_the_page_does_not_need(client):
    for path in ("/", "/scripts/main.js", "/nothing", "/image"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';") and "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"


def test_elsewhere_a_token_is_needed_and_a_cookie_keeps_it(make_client):
    client, token = make_client("0.0.0.0")
    assert len(token) >= 24
    for path in ("/", "/scripts/main.js", "/?token=wrong", "/image"):
        assert client.get(path).status_code == 403
    with pytest.raises(WebSocketDisconnect):
        client.websocket_connect(SOCKET, headers={"origin": OWN}).__enter__()
    assert client.get("/", headers={"host": "evil.example"}).status_code == 421
    assert client.get("/", headers={"host": "192.0.2.1:8090"}).status_code == 403, "an address is no rebound name"
    answer = client.get(f"/?token={token}", follow_redirects=False)
    assert answer.status_code == 303 and answer.headers["location"] == "/"
    assert (
        "httponly" in answer.headers["set-cookie"].lower() and "samesite=strict" in answer.headers["set-cookie"].lower()
    )
    assert client.cookies[COOKIE] == token and client.get("/").status_code == 200
    with client.websocket_connect(SOCKET, headers={"origin": OWN}) as socket:
        socket.send_json(HELLO)
        assert socket.receive_json()["how"] == "new"


def test_on_this_machine_no_token_is_needed(make_client):
    client, token = make_client()
    assert token == "" and client.get("/").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/../images/1.png",
        "/%2e%2e/images/1.png",
        "/scripts/..%2f..%2fserver.py",
        "/scripts/../app.py",
        "/1.png",
        "/etc/passwd",
        "//etc/passwd",
        "/scripts/",
        "/__init__.py",
    ],
)
def test_paths_lead_nowhere_but_to_the_page(client, path):
    assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    "name", ["../secret.png", "/etc/passwd", "..%2Fsecret.png", "link.png", "notes.txt", "sub/3.png", ""]
)
def test_images_are_those_of_the_folder_alone(client, session, name):
    answer = client.get("/image", params={"session": session, "name": name})
    assert answer.status_code == 400 and "there is no image" in answer.json()["message"]
    assert client.get("/image", params={"session": session, "name": "1.png"}).headers["content-type"] == "image/jpeg"


def test_a_session_is_known_by_its_name_alone(client, session):
    for name in ("", "0" * 32, "../work", session[:-1]):
        assert client.get("/image", params={"session": name, "name": "1.png"}).status_code == 400


@pytest.mark.parametrize("name", ["", "../a.png", "a/b.png", "a\\b.png", ".hidden.png", "a\nb.png", "x" * 201])
def test_uploads_have_plain_names(client, session, name, tmp_path):
    answer = client.post("/upload", params={"session": session, "name": name}, content=b"x", headers={"origin": OWN})
    assert answer.status_code == 400 and "name of the file" in answer.json()["message"]
    assert not list((tmp_path / "work").rglob("images/*"))


def test_an_upload_is_refused_before_all_of_it_came(client, session, monkeypatch):
    monkeypatch.setattr(app_module, "MOST_BYTES", 1000)
    read = []

    def body():
        for number in range(100):
            read.append(number)
            yield b"x" * 500

    answer = client.post(
        "/upload", params={"session": session, "name": "a.png"}, content=body(), headers={"origin": OWN}
    )
    assert answer.status_code == 400 and "the file has more than" in answer.json()["message"]


@pytest.mark.parametrize(
    "text", ["[]", "no", '{"type": "hello"}', '{"type": "hello", "session": 1, "tab": "a"}', "[" * 100_000]
)
def test_a_greeting_that_is_none_ends_the_connection(client, text):
    with client.websocket_connect(SOCKET, headers={"origin": OWN}) as socket:
        socket.send_text(text)
        with pytest.raises(WebSocketDisconnect):
            socket.receive_json()
