import hashlib

from django.conf.urls import url
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt


def hello(request):
    return HttpResponse("Hello world!", content_type="text/plain")


@csrf_exempt
def mirror(request):
    """What arrived of a request."""
    return JsonResponse({
        "method": request.method,
        "path": request.path,
        "query": request.META["QUERY_STRING"],
        "header": request.META.get("HTTP_X_TEST"),
        "length": len(request.body),
        "sha256": hashlib.sha256(request.body).hexdigest(),
    })


def parts(request):
    return StreamingHttpResponse(("part %d\n" % number for number in range(5)))


urlpatterns = [url(r"^hello$", hello), url(r"^mirror", mirror), url(r"^parts$", parts)]
